"""Accuracy metrics: one file each and one line in the table."""

from edgert_converters.metrics.choose import METRICS, choose_metric, load_metric
from edgert_converters.metrics.metric import Estimator, Metric, Record

__all__ = ["METRICS", "Estimator", "Metric", "Record", "choose_metric", "load_metric"]
