"""The table of metrics, and which one fits the data."""

from __future__ import annotations

import numpy as np

from edgert.errors import RecipeError, did_you_mean
from edgert.runtime.postprocess import Postprocess
from edgert_converters.data.function import is_function_spec
from edgert_converters.data.sample import BoxLabels, Dataset
from edgert_converters.metrics.auc import AUC
from edgert_converters.metrics.detection import MAP50, MAP50_95
from edgert_converters.metrics.error import MSE, PSNR
from edgert_converters.metrics.f1 import F1
from edgert_converters.metrics.function import load_function_metric
from edgert_converters.metrics.metric import Metric
from edgert_converters.metrics.segmentation import MEAN_IOU
from edgert_converters.metrics.topk import TOP1, TOP5
from edgert_converters.metrics.transcript import WORD_ERROR_RATE

__all__ = ["METRICS", "choose_metric", "load_metric"]

METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (TOP1, TOP5, F1, AUC, MAP50, MAP50_95, MEAN_IOU, MSE, PSNR, WORD_ERROR_RATE)
}
"""Every metric by its name."""


def load_metric(name: str) -> Metric:
    """Returns a metric by its name, or the user's own `module:function`.

    Raises:
        RecipeError: there is no metric of that name.
        DataError: the function cannot be imported.
    """
    if name in METRICS:
        return METRICS[name]
    if is_function_spec(name):
        return load_function_metric(name)
    raise RecipeError(f"unknown metric {name!r}{did_you_mean(name, METRICS)} (or module:function)")


def choose_metric(dataset: Dataset, postprocess: Postprocess) -> Metric | None:
    """Returns the usual metric for the first sample's label; None where there are no labels (agreement is used).

    Class ids: top1. Boxes: map50_95. Text: word_error_rate. A map of class ids: mean_iou. Other arrays: mse.
    """
    if not dataset.has_labels:
        return None
    label = dataset.sample(0).label
    if isinstance(label, BoxLabels):
        return MAP50_95 if postprocess.is_detector else None
    if isinstance(label, int):
        return None if postprocess.is_detector else TOP1
    if isinstance(label, str):
        return WORD_ERROR_RATE
    if isinstance(label, np.ndarray):
        return MEAN_IOU if label.dtype.kind in "iu" and label.ndim == 2 else MSE
    return None
