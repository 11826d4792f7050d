"""Measures what each precision keeps of a model's answers, and how the scale of a weight channel is best chosen.

    python tests/bench/schemes.py [--write] [MODEL ...]

Prints two tables; `--write` puts them into docs/schemes.md. Agreement is the share of evaluation samples with the float
model's top-1, with a 95 % Wilson interval. Needs the zoo (EDGERT_ZOO). Never part of CI.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.recipe_file import load_recipe
from edgert.target import get_target
from edgert.units import format_bytes
from edgert_converters.built import Built
from edgert_converters.data import load_dataset, split
from edgert_converters.engine import load_runner
from edgert_converters.importers import ImportedModel, import_model
from edgert_converters.intervals import wilson
from edgert_converters.quantize import rounding
from edgert_converters.quantize.chain import chain_settings, plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.precisions import AUTO, PRECISIONS
from edgert_converters.quantize.scheme import INT8, INT8X4, Scheme
from edgert_converters.quantize.weight_ranges import search_scales
from edgert_converters.schemes_table import PAGE, render_page
from edgert_converters.variant_runner import load_variant
from edgert_converters.variants import build_variants

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
CALIBRATION_SAMPLES = 100
PLACE = "this x86"
Sample = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Entry:
    """A model of the zoo and its data."""

    title: str
    model: str
    evaluation: str
    calibration: str | None


ENTRIES = {
    "resnet20": Entry("ResNet20", "resnet20_cifar10", "cifar10_test_jpegdegraded_500.npz", None),
    "proxyless_w025": Entry(
        "ProxylessNAS w0.25",
        "proxyless_w025_r112_imagenet",
        "imagenet_val_300_227px.parquet",
        "imagenet_train_125_224px_calib.parquet",
    ),
}


class Bench:
    """One model with its data; the float model's answers are computed once."""

    def __init__(self, name: str) -> None:
        entry = ENTRIES[name]
        data = {"eval": ZOO / "data" / entry.evaluation}
        if entry.calibration is not None:
            data["calib"] = ZOO / "data" / entry.calibration
        given = {"model": ZOO / "models" / f"{entry.model}.onnx", **{key: str(path) for key, path in data.items()}}
        self.title = entry.title
        self.recipe = load_recipe(ROOT / "tests/data/recipes" / f"{name}.toml", given)
        self.imported: ImportedModel = import_model(self.recipe.model, self.recipe.shapes)
        loaded = [
            load_dataset(spec, self.imported.inputs, self.recipe.preprocess, self.recipe.labels) if spec else None
            for spec in (self.recipe.calib, self.recipe.eval)
        ]
        parts = split(loaded[0], loaded[1], calib_samples=CALIBRATION_SAMPLES, seed=0)
        assert parts.calib is not None and parts.evaluation is not None
        chosen = [parts.calib.sample(index).inputs for index in range(len(parts.calib))]
        self.calibration = Calibration(lambda: chosen, len(chosen), lambda *_: None)
        self.samples: list[Sample] = [parts.evaluation.sample(index).inputs for index in range(len(parts.evaluation))]
        self.answers = self.top(load_runner(self.imported.model))

    def top(self, run: Callable[[Sample], Mapping[str, np.ndarray]]) -> np.ndarray:
        return np.asarray([int(next(iter(run(sample).values())).argmax()) for sample in self.samples])

    def agreement(self, run: Callable[[Sample], Mapping[str, np.ndarray]]) -> str:
        share, count = float((self.top(run) == self.answers).mean()), len(self.samples)
        low, high = wilson(share * count, count)
        return f"{share:.3f} ({low:.3f} to {high:.3f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(ENTRIES)}")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/schemes.md")
    options = parser.parse_args()
    if not (ZOO / "MANIFEST.md").is_file():
        print(f"real models and data not found in {ZOO}; set EDGERT_ZOO", file=sys.stderr)
        return 0
    benches = [Bench(name) for name in options.models or ENTRIES]
    text = f"{precision_table(benches)}\n{scale_table(benches)}"
    print(text)
    if options.write:
        PAGE.write_text(render_page(text), encoding="utf-8")
    return 0


def precision_table(benches: Sequence[Bench]) -> str:
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for bench in benches:
        for variant in variants(bench):
            run = load_variant(variant, bench.imported.inputs, bench.imported.outputs)
            found = bench.agreement(run), format_bytes(len(variant.data))
            rows.setdefault(variant.id, {})[bench.title] = found
    heads = [f"{bench.title}, n={len(bench.samples)}: agree (95 %), size" for bench in benches]
    cells = [
        (f"`{name}`", *(", ".join(found.get(bench.title, ("no weights for blocks",))) for bench in benches), PLACE)
        for name, found in rows.items()
    ]
    return table(("variant", *heads, "measured on"), cells)


def variants(bench: Bench) -> list[Built]:
    """Every precision: those that need data share it; blocks alone, because a model may have no place for them."""
    names = [name for name in PRECISIONS if name != AUTO]
    blocks = [name for name in names if "block" in name]
    groups = [[name for name in names if name not in blocks], *([name] for name in blocks)]
    found: list[Built] = []
    for group in groups:
        recipe = replace(bench.recipe, precisions=tuple(group))
        try:
            made = build_variants(bench.imported, recipe, [get_target("host")], bench.calibration)
        except ModelError:
            continue
        found += [variant for variant in made if variant.precision in group]
    return found


def scale_table(benches: Sequence[Bench]) -> str:
    """The default chain, the scale of a weight channel chosen in three ways."""
    rows = []
    for title, scheme in (("int8", INT8), ("int8x4", INT8X4)):
        for words, power in (("largest magnitude", None), ("squared error", 2.0), ("third power of the error", 3.0)):
            found = [bench.agreement(load_runner(rounded(bench, scheme, power))) for bench in benches]
            rows.append((title, words, *found, PLACE))
    return table(("precision", "scale of a channel", *(f"{b.title}: agree" for b in benches), "measured on"), rows)


_DRAFTS: dict[str, Draft] = {}


def rounded(bench: Bench, scheme: Scheme, power: float | None) -> ir.Model:
    settings = chain_settings(bench.recipe)
    if bench.title not in _DRAFTS:
        _DRAFTS[bench.title] = prepare(bench.imported.model, bench.calibration, settings)
    bits = 0 if power is None else 8
    search = partial(search_scales, power=power or 1.0)
    with patch.object(rounding, "SEARCHED_BITS", bits), patch.object(rounding, "search_scales", search):
        draft = plan_draft(_DRAFTS[bench.title], scheme, bench.calibration, settings)
    return apply_plan(draft.model, draft.final, DType.UINT8)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    raise SystemExit(main())
