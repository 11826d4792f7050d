"""Data in the YOLO layout: `data.yaml`, images, and one .txt per image with `class cx cy w h` in 0..1.

`data.yaml#train` takes another split than the default `val`. Label files lie where `labels` replaces `images` in the
path.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgert.errors import DataError, did_you_mean
from edgert_converters.data.boxes import boxes_from_cxcywh
from edgert_converters.data.images import decode_image, list_images, read_bytes
from edgert_converters.data.sample import BoxLabels, Item, digest_of
from edgert_converters.data.yaml_subset import YamlSubsetError, parse_yaml_subset

__all__ = ["YoloSource"]


class YoloSource:
    """One split of a data.yaml."""

    def __init__(self, path: Path, split: str, labels: Sequence[str]) -> None:
        self.path = path
        document = _read(path)
        folder = document.get(split)
        if not isinstance(folder, str):
            splits = [key for key in ("train", "val", "test") if isinstance(document.get(key), str)]
            raise DataError(f"{path}: no split {split!r}{did_you_mean(split, splits)}")
        root = path.parent / str(document.get("path") or "")
        self._files = _find_images(path, root, folder)
        self._classes = _class_ids(path, document.get("names"), labels)
        self.has_labels = True

    def __len__(self) -> int:
        return len(self._files)

    def item(self, index: int) -> Item:
        """Decodes one image."""
        path = self._files[index]
        image = decode_image(read_bytes(path), str(path))
        return Item(path.name, {"": image}, self._label(path, image.shape[0], image.shape[1]), is_image=True)

    def digest(self, index: int) -> str:
        """Hash of the image file."""
        return digest_of(read_bytes(self._files[index]))

    def _label(self, image: Path, height: int, width: int) -> BoxLabels:
        file = _label_file(image)
        rows, class_ids = [], []
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
        for number, line in enumerate(filter(str.strip, lines), 1):
            try:
                class_id, *box = line.split()
                rows.append([float(value) for value in box])
                class_ids.append(self._classes[int(class_id)] if self._classes else int(class_id))
            except (ValueError, KeyError) as error:
                raise DataError(
                    f"{file}: line {number} is not 'class cx cy w h' with a known class: {line!r}"
                ) from error
            if len(rows[-1]) != 4:
                raise DataError(f"{file}: line {number} has {len(rows[-1])} numbers after the class, 4 are expected")
        boxes = np.asarray(rows, np.float32).reshape(-1, 4)
        return boxes_from_cxcywh(boxes, np.asarray(class_ids, np.int64), height, width)


def _read(path: Path) -> dict[str, object]:
    try:
        document = parse_yaml_subset(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YamlSubsetError) as error:
        raise DataError(f"{path}: {error}") from error
    return document


def _find_images(path: Path, root: Path, folder: str) -> list[Path]:
    place = root / folder
    if place.is_dir():
        files = list_images(place)
    elif place.is_file():
        files = [root / line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        raise DataError(f"{path}: {place} is neither a folder of images nor a list of files")
    if not files:
        raise DataError(f"{path}: no images in {place}")
    return files


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _class_ids(path: Path, names: object, labels: Sequence[str]) -> dict[int, int]:
    if isinstance(names, dict):
        known = {int(key): str(name) for key, name in names.items() if str(key).isdecimal()}
    elif isinstance(names, list):
        known = dict(enumerate(map(str, names)))
    else:
        return {}
    if not labels:
        return {class_id: class_id for class_id in known}
    unknown = [name for name in known.values() if name not in labels]
    if unknown:
        raise DataError(f"{path}: class {unknown[0]!r} is not among the labels{did_you_mean(unknown[0], labels)}")
    return {class_id: list(labels).index(name) for class_id, name in known.items()}
