"""Data from a COCO json file of boxes, with the images beside it.

Images are looked for in the json's folder, in `images/` there, and in the folders that COCO's own layout uses
(`annotations/instances_val2017.json` beside `val2017/` or `images/val2017/`). Class ids are 0-based: the rank of the
category id, or the position of its name in the labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgert.errors import DataError, did_you_mean
from edgert_converters.data.images import decode_image, read_bytes
from edgert_converters.data.sample import BoxLabels, Item, digest_of

__all__ = ["CocoSource"]

_Record = dict[str, Any]  # Any: JSON


class CocoSource:
    """One COCO annotation file."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self.path = path
        document = _read(path)
        self._classes = _class_ids(path, document["categories"], labels)
        self._objects: dict[object, list[_Record]] = {}
        for annotation in document["annotations"]:
            self._objects.setdefault(annotation.get("image_id"), []).append(annotation)
        self._images: list[_Record] = document["images"]
        if not self._images:
            raise DataError(f"{path}: lists no images")
        self._folder = self._find_folder()
        self.has_labels = True

    def __len__(self) -> int:
        return len(self._images)

    def item(self, index: int) -> Item:
        """Decodes one image."""
        record = self._images[index]
        path = self._file(index)
        image = decode_image(read_bytes(path), str(path))
        return Item(str(record["file_name"]), {"": image}, self._label(record.get("id")), is_image=True)

    def digest(self, index: int) -> str:
        """Hash of the image file."""
        return digest_of(read_bytes(self._file(index)))

    def _file(self, index: int) -> Path:
        return self._folder / str(self._images[index].get("file_name"))

    def _find_folder(self) -> Path:
        first = self._images[0].get("file_name")
        if not isinstance(first, str):
            raise DataError(f"{self.path}: images[0] has no file_name")
        parent, split = self.path.parent, self.path.stem.removeprefix("instances_")
        above = parent.parent
        for folder in (
            parent,
            parent / "images",
            parent / split,
            above / split,
            above / "images" / split,
            above / "images",
        ):
            if (folder / first).is_file():
                return folder
        raise DataError(f"{self.path}: image {first!r} found neither beside it nor in images/ or {split}/")

    def _label(self, image_id: object) -> BoxLabels:
        boxes, class_ids, is_crowd = [], [], []
        for record in self._objects.get(image_id, []):
            try:
                x, y, width, height = (float(v) for v in record["bbox"])
                class_ids.append(self._classes[record["category_id"]])
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{self.path}: annotation {record.get('id')!r} has no usable bbox or category"
                ) from error
            boxes.append([x, y, x + width, y + height])
            is_crowd.append(bool(record.get("iscrowd")))
        corners = np.asarray(boxes, np.float32).reshape(-1, 4)
        return BoxLabels(corners, np.asarray(class_ids, np.int64), np.asarray(is_crowd, np.bool_))


def _read(path: Path) -> _Record:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error})") from error
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not isinstance(document, dict) or not isinstance(document.get(key), list)]
    if missing:
        raise DataError(f"{path}: not a COCO file: the list {missing[0]!r} is missing")
    if any(not isinstance(record, dict) for key in keys for record in document[key]):
        raise DataError(f"{path}: not a COCO file: images, annotations and categories must hold objects")
    return dict(document)


def _class_ids(path: Path, categories: list[_Record], labels: Sequence[str]) -> dict[object, int]:
    try:
        ordered = sorted(categories, key=lambda record: int(record["id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: a category has no id") from error
    if not labels:
        return {record["id"]: rank for rank, record in enumerate(ordered)}
    for record in ordered:
        if record.get("name") not in labels:
            raise DataError(
                f"{path}: category {record.get('name')!r} is not among the labels"
                + did_you_mean(str(record.get("name")), labels)
            )
    return {record["id"]: list(labels).index(record["name"]) for record in ordered}
