"""Data from a parquet file with a column of encoded images (needs the parquet extra).

Columns: `jpeg` (or `image`: bytes, or a struct with `bytes`); `label`, or `class_ids` with `boxes_cxcywh_norm` (a flat
list of centre x, centre y, width, height in 0..1 of the image); `name`. Bytes go through a temporary file by batches.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgert.errors import DataError, MissingExtraError
from edgert_converters.data.boxes import boxes_from_cxcywh
from edgert_converters.data.images import decode_image
from edgert_converters.data.sample import Item, Label, digest_of
from edgert_converters.data.spill import Spill

__all__ = ["ParquetSource"]

_IMAGE_COLUMNS = ("jpeg", "image", "png", "bytes")
_BATCH_ROWS = 32


class ParquetSource:
    """One parquet file of encoded images."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images = Spill()
        self._rows: list[dict[str, Any]] = []  # Any: labels as the file has them
        self._load()
        self.has_labels = bool(self._rows) and ("label" in self._rows[0] or "class_ids" in self._rows[0])

    def __len__(self) -> int:
        return len(self._images)

    def item(self, index: int) -> Item:
        """Decodes one image."""
        name = str(self._rows[index].get("name") or f"{self.path.name}[{index}]")
        image = decode_image(self._images.read(index), f"{self.path}: row {index} ({name})")
        return Item(name, {"": image}, self._label(index, image.shape[0], image.shape[1]), is_image=True)

    def digest(self, index: int) -> str:
        """Hash of the encoded image."""
        return digest_of(self._images.read(index))

    def _load(self) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise MissingExtraError("pyarrow", "parquet", "reading parquet files") from error
        try:
            with parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20) as file:
                present = file.schema_arrow.names
                column = next((name for name in _IMAGE_COLUMNS if name in present), None)
                if column is None:
                    allowed, found = ", ".join(_IMAGE_COLUMNS), ", ".join(present)
                    raise DataError(f"{self.path}: no image column ({allowed}), found {found}")
                others = [n for n in ("name", "label", "class_ids", "boxes_cxcywh_norm") if n in present]
                for batch in file.iter_batches(_BATCH_ROWS, columns=[column, *others], use_threads=False):
                    self._append(batch.to_pylist(), column)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: not a readable parquet file ({error})") from error

    def _append(self, rows: list[dict[str, Any]], column: str) -> None:
        for row in rows:
            data = row.pop(column)
            self._images.append((data.get("bytes") if isinstance(data, dict) else data) or b"")
            self._rows.append(row)

    def _label(self, index: int, height: int, width: int) -> Label:
        row = self._rows[index]
        if row.get("label") is not None:
            return row["label"] if isinstance(row["label"], str) else int(row["label"])
        if row.get("class_ids") is None:
            return None
        boxes = np.asarray(row.get("boxes_cxcywh_norm") or [], np.float32)
        if boxes.size != 4 * len(row["class_ids"]):
            raise DataError(
                f"{self.path}: row {index} has {len(row['class_ids'])} class_ids and {boxes.size} box numbers"
            )
        return boxes_from_cxcywh(boxes.reshape(-1, 4), np.asarray(row["class_ids"], np.int64), height, width)
