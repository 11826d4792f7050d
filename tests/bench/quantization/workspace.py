"""Files that every tool reads: float models, calibration draws, evaluation tensors and the float answers; made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert_converters.exporters.onnx import serialize
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.importers import import_model
from edgert_converters.quantize.existing import strip_quantization
from tests.bench.quantization.data import BenchModel, draw_indices, rows_of
from tests.bench.quantization.logits import logits_of

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Workspace:
    """The files of one model in `root`/NAME."""

    model: BenchModel
    root: Path

    @property
    def folder(self) -> Path:
        path = self.root / self.model.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def onnx(self) -> Path:
        """The float model that ONNX tools read."""
        if not self.model.clean:
            return self.model.source
        path = self.folder / "float.onnx"
        if not path.is_file():
            path.write_bytes(serialize(import_model(self.model.source, {}).model))
        return path

    @property
    def tflite(self) -> Path:
        """The float model that LiteRT tools read: written by edgert, with the signature that they ask for."""
        path = self.folder / "float.tflite"
        if not path.is_file():
            graph = strip_quantization(import_model(self.model.source, {}).model)
            path.write_bytes(export_tflite(graph, float_io=True, describe=None).data)
        return path

    def calibration(self, draw: int) -> Path:
        """An .npz with x float32[100, ...]."""
        path = self.folder / f"calibration{draw}.npz"
        if not path.is_file():
            samples, _ = self.model.pool()
            np.savez(path, x=samples[draw_indices(self.model, len(samples), draw)[0]])
        return path

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Classes of the images, int64[images]."""
        return self._evaluation()[1]

    @cached_property
    def samples(self) -> Floats:
        """Evaluation tensors float32[views * images, ...], left on disk."""
        return self._evaluation()[0]

    @cached_property
    def float_logits(self) -> Floats:
        """What the float model answers, float32[views * images, classes]."""
        path = self.folder / "float_logits.npy"
        if not path.is_file():
            np.save(path, logits_of(self.onnx, self.samples))
        return np.asarray(np.load(path))

    def judged(self, draw: int) -> NDArray[np.int64]:
        """The images that judge a draw."""
        chosen = draw_indices(self.model, len(self.labels), draw)[1]
        return np.arange(len(self.labels)) if chosen is None else chosen

    def rows(self, draw: int) -> NDArray[np.int64]:
        """Their evaluation rows, view by view."""
        return rows_of(self.judged(draw), self.model.views, len(self.labels))

    def _evaluation(self) -> tuple[Floats, NDArray[np.int64]]:
        samples, labels = self.folder / "samples.npy", self.folder / "labels.npy"
        if not labels.is_file():
            x, y = self.model.evaluated()
            np.save(samples, x)
            np.save(labels, y)
        return np.load(samples, mmap_mode="r"), np.load(labels)
