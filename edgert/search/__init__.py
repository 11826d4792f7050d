"""Hardware-aware search: which form of a model is best under a device's limits (docs/search.md)."""
