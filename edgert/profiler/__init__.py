"""Measuring a model where it runs: latency, memory, energy, and whether the figures may be believed."""
