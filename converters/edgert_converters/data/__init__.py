"""Calibration and evaluation data: one file per source, one table, one way of preparing samples (docs/recipe.md)."""

from edgert_converters.data.load import SOURCES, load_dataset
from edgert_converters.data.sample import BoxLabels, Dataset, Label, Sample, Source
from edgert_converters.data.split import DataSplit, split

__all__ = ["SOURCES", "BoxLabels", "DataSplit", "Dataset", "Label", "Sample", "Source", "load_dataset", "split"]
