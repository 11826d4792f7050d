"""From a data specification (a file, a folder, or module:function) to samples that fit the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Step, TensorSpec
from edgert.dtypes import DType
from edgert.errors import DataError, RecipeError
from edgert.runtime.geometry import Geometry
from edgert.runtime.preprocess import Preprocess, build_preprocess
from edgert_converters.data.coco import CocoSource
from edgert_converters.data.folder import FolderSource
from edgert_converters.data.function import FunctionSource, is_function_spec
from edgert_converters.data.images import make_preview
from edgert_converters.data.npz import NpzSource
from edgert_converters.data.parquet import ParquetSource
from edgert_converters.data.sample import Array, Dataset, Item, Sample, Source
from edgert_converters.data.yolo import YoloSource

__all__ = ["SOURCES", "SourceKind", "SourceRequest", "load_dataset"]


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What a source may need to open: the path, what stands after ``#``, the input names and the class names."""

    path: Path
    fragment: str
    input_names: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceKind:
    """One line of the table: which suffix is read by what."""

    suffixes: tuple[str, ...]
    what: str
    open: Callable[[SourceRequest], Source]


def _open_yolo(request: SourceRequest) -> Source:
    return YoloSource(request.path, request.fragment or "val", request.labels)


SOURCES: tuple[SourceKind, ...] = (
    SourceKind((".npz",), "arrays x and y", lambda r: NpzSource(r.path, r.input_names)),
    SourceKind((".parquet",), "encoded images with labels", lambda r: ParquetSource(r.path)),
    SourceKind((".json",), "COCO boxes", lambda r: CocoSource(r.path, r.labels)),
    SourceKind((".yaml", ".yml"), "YOLO data.yaml", _open_yolo),
)
"""Every kind of data file; a folder holds a data.yaml or images by class, and module:function is called."""


def load_dataset(
    spec: str, inputs: Sequence[TensorSpec], preprocess: Sequence[Step] = (), labels: Sequence[str] = ()
) -> Dataset:
    """Returns the data set named by `spec`, its samples prepared for `inputs` when they are asked for.

    Args:
        spec: a .npz, .parquet, COCO .json or data.yaml file (``#train`` takes another split), a folder, or
            ``module:function``.
        inputs: the model's inputs; axis 0 is the batch.
        preprocess: the recipe's steps; without any, arrays must already be in the model's own layout.
        labels: class names, where class folders or categories are to be mapped by name.

    Raises:
        DataError: the data is missing, empty or of an unknown kind.
        RecipeError: a step is wrong, or there are steps for a model with several inputs.
        MissingExtraError: an optional package is needed.
    """
    if preprocess and len(inputs) != 1:
        raise RecipeError(f"preprocess steps need a model with one input, this one has {len(inputs)}")
    steps = build_preprocess(preprocess)
    source = _open_source(spec, tuple(spec.name for spec in inputs), tuple(labels))
    if len(source) == 0:
        raise DataError(f"{spec}: holds no samples")
    return PreparedDataset(spec, source, tuple(inputs), steps)


def _open_source(spec: str, input_names: tuple[str, ...], labels: tuple[str, ...]) -> Source:
    text, _, fragment = spec.partition("#")
    path = Path(text)
    if not path.exists():
        if is_function_spec(spec):
            return FunctionSource(spec)
        raise DataError(f"{spec}: no such file or folder (and not of the form module:function)")
    request = SourceRequest(path, fragment, input_names, labels)
    if path.is_dir():
        listing = path / "data.yaml"
        if listing.is_file():
            return _open_yolo(SourceRequest(listing, fragment, input_names, labels))
        if path.suffix in _suffixes():
            raise DataError(f"{spec}: is a folder, a {path.suffix} file is expected under this name")
        return FolderSource(path, labels)
    for kind in SOURCES:
        if path.suffix.lower() in kind.suffixes:
            return kind.open(request)
    raise DataError(f"{spec}: unknown kind of data; allowed: {', '.join(_suffixes())}, a folder, module:function")


def _suffixes() -> tuple[str, ...]:
    return tuple(suffix for kind in SOURCES for suffix in kind.suffixes)


class PreparedDataset:
    """A source behind the recipe's pre-processing, checked against the model's inputs sample by sample."""

    def __init__(self, name: str, source: Source, inputs: tuple[TensorSpec, ...], preprocess: Preprocess) -> None:
        self.name = name
        self.has_labels = source.has_labels
        self._source = source
        self._inputs = inputs
        self._preprocess = preprocess

    def __len__(self) -> int:
        return len(self._source)

    def digest(self, index: int) -> str:
        """Hash of the stored bytes of one sample."""
        return self._source.digest(index)

    def sample(self, index: int) -> Sample:
        """Decodes, pre-processes and checks one sample."""
        item = self._source.item(index)
        arrays = self._by_input_name(item)
        inputs, geometry = {}, None
        for spec in self._inputs:
            where = f"{self.name}: sample {index} ({item.id})"
            values, geometry = self._prepare(arrays[spec.name], spec, where)
            inputs[spec.name] = _fit(values, spec, where, is_image=item.is_image and not self._preprocess.steps)
        if geometry is None:
            raise DataError(f"{self.name}: the model has no inputs")
        preview = _preview(item, inputs)
        return Sample(item.id, inputs, item.label, geometry, preview, self._source.digest(index))

    def _by_input_name(self, item: Item) -> Mapping[str, Array]:
        if set(item.arrays) == {""} and len(self._inputs) == 1:
            return {self._inputs[0].name: item.arrays[""]}
        missing = [spec.name for spec in self._inputs if spec.name not in item.arrays]
        if missing:
            found = ", ".join(map(repr, item.arrays)) if "" not in item.arrays else "one array without a name"
            raise DataError(f"{self.name}: sample {item.id} has no array for the input {missing[0]!r}, found {found}")
        return item.arrays

    def _prepare(self, values: Array, spec: TensorSpec, where: str) -> tuple[Array, Geometry]:
        if not self._preprocess.steps and values.ndim == len(spec.shape) and values.shape[:1] == (1,):
            values = values[0]  # the batch axis of 1 is already there
        try:
            return self._preprocess(values)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def _fit(values: Array, spec: TensorSpec, where: str, *, is_image: bool) -> Array:
    """Checks shape, type and finiteness; converts to the model's element type where no value is lost by it."""
    expected = (1, *spec.shape[1:])
    if len(values.shape) != len(expected) or any(
        e is not None and e != g for e, g in zip(expected, values.shape, strict=True)
    ):
        wanted = ", ".join("?" if d is None else str(d) for d in expected)
        got = ", ".join(map(str, values.shape))
        hint = "; images need preprocess steps in the recipe" if is_image else ""
        raise DataError(
            f"{where}: input {spec.name!r} expects [{wanted}] {spec.dtype.value}, got [{got}] {values.dtype}{hint}"
        )
    if spec.dtype is DType.STRING:
        raise DataError(f"{where}: input {spec.name!r} takes text, which data sets cannot hold")
    target = spec.dtype.numpy
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{where}: input {spec.name!r} holds NaN or infinity")
    if values.dtype == target:
        return values
    is_number = values.dtype.kind in "biuf"
    if not is_number or (target.kind != "f" and values.dtype.kind == "f"):
        raise DataError(f"{where}: input {spec.name!r} expects {spec.dtype.value}, got {values.dtype}; add a cast step")
    converted = values.astype(target)
    if target.kind in "iu" and not np.array_equal(converted, values):
        raise DataError(f"{where}: input {spec.name!r} holds values outside {spec.dtype.value}")
    return converted


def _preview(item: Item, inputs: Mapping[str, Array]) -> NDArray[np.uint8] | None:
    if item.is_image:
        return make_preview(next(iter(item.arrays.values())))
    values = next(iter(inputs.values()))[0]
    if values.ndim == 3 and values.shape[0] in {1, 3}:
        values = np.transpose(values, (1, 2, 0))
    if values.ndim != 3 or values.shape[2] not in {1, 3} or min(values.shape[:2]) < 8:
        return None
    spread = float(np.ptp(values)) or 1.0
    return make_preview(((values.astype(np.float32) - float(values.min())) * (255 / spread)).astype(np.uint8))
