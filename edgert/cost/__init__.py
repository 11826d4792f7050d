"""The cost model: what a model that was never run on a device would take there (docs/predict.md)."""
