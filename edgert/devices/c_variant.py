"""The C of a bundle: which variant a board runs, and the files of its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgert.bundle import Bundle, Manifest, TensorSpec, Variant
from edgert.codec import JsonValue, parse_json
from edgert.errors import BundleError, ModelError, UsageError
from edgert.runtime.plain_model import is_bundle

__all__ = ["CVariant", "load_c_variant", "size_bytes"]


@dataclass(frozen=True, slots=True)
class CVariant:
    """A variant of format `c`, everything that its folder holds, and the golden arrays of its bundle."""

    manifest: Manifest
    variant: Variant
    files: Mapping[str, bytes]
    golden: Mapping[str, object]

    @property
    def plan(self) -> dict[str, JsonValue]:
        """The parsed plan.json."""
        plan: dict[str, JsonValue] = parse_json(self.files["plan.json"])
        return plan


def load_c_variant(path: Path, target: str, variant_id: str | None = None) -> CVariant:
    """Returns the C that a bundle holds for a target.

    Args:
        path: the bundle.
        target: name of the target.
        variant_id: of the variant; None: the one that was made for the target.

    Raises:
        UsageError: the file is no bundle, or the bundle has no C for this target.
        BundleError: the bundle is damaged.
    """
    if not is_bundle(path):
        raise UsageError(
            f"{path}: a board runs the C of a bundle; make one: edgert convert {path} -t {target} -o net.edge"
        )
    with Bundle.open(path) as bundle:
        variant = _choose(bundle.manifest, path, target, variant_id)
        folder = variant.path.rpartition("/")[0] + "/"
        names = [name for name in bundle.manifest.files if name.startswith(folder)]
        files = {name.removeprefix(folder): bundle.read(name) for name in names}
        golden = bundle.golden()
        manifest = bundle.manifest
    if "plan.json" not in files:
        raise BundleError(f"{path}: variant {variant.id!r} has no plan.json; the bundle was damaged")
    return CVariant(manifest, variant, files, golden)


def size_bytes(specs: tuple[TensorSpec, ...]) -> int:
    """Returns the bytes of one sample of every tensor; an axis that may vary counts as 1."""
    return sum(math.prod(size or 1 for size in spec.shape) * spec.dtype.itemsize_bytes for spec in specs)


def _choose(manifest: Manifest, path: Path, target: str, variant_id: str | None) -> Variant:
    if variant_id is not None:
        variant = manifest.variant(variant_id)
        if variant.format != "c":
            raise UsageError(f"variant {variant_id!r} is {variant.format}; a board runs a variant of format c")
        return variant
    made = [variant for variant in manifest.variants if variant.format == "c"]
    for variant in made:
        if target in variant.targets or variant.id == f"c-{target}":
            return variant
    have = f"it has C for {', '.join(v.id.removeprefix('c-') for v in made)}" if made else "it has no C at all"
    raise ModelError(f"the bundle has no C for {target} ({have}); convert the model with -t {target}", path=path)
