"""Data from a folder of images: one sub-folder per class, or a flat folder without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgert.errors import DataError, did_you_mean
from edgert_converters.data.images import decode_image, list_images, read_bytes
from edgert_converters.data.sample import Item, digest_of

__all__ = ["FolderSource"]


class FolderSource:
    """Class ids: the place of the sub-folder's name in `labels` if given, the number that is its name, or its rank."""

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        self.folder = folder
        class_folders = sorted(p for p in folder.iterdir() if p.is_dir() and list_images(p))
        self._files: list[tuple[Path, int | None]] = []
        for rank, class_folder in enumerate(class_folders):
            class_id = self._class_id(class_folder.name, rank, labels, all_numbers=_are_numbers(class_folders))
            self._files += [(path, class_id) for path in list_images(class_folder)]
        self.has_labels = bool(class_folders)
        if not class_folders:
            self._files = [(path, None) for path in list_images(folder)]
        if not self._files:
            raise DataError(f"{folder}: no images in it or in its sub-folders; one sub-folder per class is expected")

    def __len__(self) -> int:
        return len(self._files)

    def item(self, index: int) -> Item:
        """Decodes one image."""
        path, class_id = self._files[index]
        image = decode_image(read_bytes(path), str(path))
        return Item(str(path.relative_to(self.folder)), {"": image}, class_id, is_image=True)

    def digest(self, index: int) -> str:
        """Hash of the image file."""
        return digest_of(read_bytes(self._files[index][0]))

    def _class_id(self, name: str, rank: int, labels: Sequence[str], *, all_numbers: bool) -> int:
        if labels:
            if name not in labels:
                raise DataError(
                    f"{self.folder}: the class folder {name!r} is not among the labels{_hint(name, labels)}"
                )
            return list(labels).index(name)
        return int(name) if all_numbers else rank


def _are_numbers(folders: Sequence[Path]) -> bool:
    return all(folder.name.isdecimal() for folder in folders)


def _hint(name: str, labels: Sequence[str]) -> str:
    return did_you_mean(name, labels) if len(labels) <= 100 else f" ({len(labels)} names)"
