"""The report says what generated C takes of a board and draws RAM against extra work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from edgert.bundle import Bundle
from edgert.profiler.report import build_report
from tests import report_example as example
from tests.unit.test_report import Page, damaged

CUTS = [{"first_layer": "conv1", "last_layer": "conv3", "strips": 4}]


def fit() -> dict[str, Any]:
    return {
        "target": "qemu-mps2-an386",
        "verdict": "TIGHT",
        "flash": {"verdict": "FITS", "bytes": 32_712, "limit_bytes": 4_194_304, "constants_bytes": 30_008,
                  "code_bytes": 2_704, "code_measured_with": "arm-none-eabi-gcc 12.2.1 -O2"},
        "ram": {"verdict": "TIGHT", "bytes": 30_720, "limit_bytes": 32_000, "arena_bytes": 29_184,
                "stack_data_bytes": 1_536, "peak_layer": "conv2"},
        "macs": 1_000_000,
        "extra_macs": 40_000,
        "curve": [
            {"ram_bytes": 51_264, "arena_bytes": 49_728, "extra_macs": 0, "cuts": []},
            {"ram_bytes": 30_208, "arena_bytes": 28_672, "extra_macs": 40_000, "cuts": CUTS},
            {"ram_bytes": 21_184, "arena_bytes": 19_648, "extra_macs": 540_000, "cuts": CUTS},
        ],
    }  # fmt: skip


def page_with(folder: Path, value: Any) -> Page:
    data = example.report()
    data["variants"][0]["fit"] = value
    with Bundle.open(example.write_example(folder / "board.edge", data=data)) as bundle:
        return Page(build_report(bundle, []))


def test_memories_and_peak_layer_stand_in_the_table(tmp_path: Path) -> None:
    text = page_with(tmp_path, fit()).text
    for words in ("Memory of the boards", "TIGHT", "30,720 bytes", "32,000 bytes", "4.19 MB", "conv2"):
        assert f"\n{words}\n" in text
    assert "constants 30,008 bytes, code 2,704 bytes (measured with arm-none-eabi-gcc 12.2.1 -O2)" in text


def test_curve_has_a_dot_for_every_plan_and_one_for_the_variant(tmp_path: Path) -> None:
    page = page_with(tmp_path, fit())
    (drawn,) = (attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("class") == "curve")
    assert drawn["aria-label"] == (
        "51264 bytes of RAM: 0 % more MACs; 30208 bytes of RAM: 4 % more MACs; 21184 bytes of RAM: 54 % more MACs"
    )
    radii = [attrs["r"] for tag, attrs in page.tags if tag == "circle" and attrs.get("class") in {"dot", "dot good"}]
    assert radii.count("3.5") == 3
    assert radii.count("6") == 1
    assert "conv1 to conv3: 4" in page.text


def test_less_ram_lies_further_left_and_more_work_higher(tmp_path: Path) -> None:
    page = page_with(tmp_path, fit())
    dots = [attrs for tag, attrs in page.tags if tag == "circle" and attrs.get("r") == "3.5"]
    left, top = ([float(str(dot[key]).rstrip("%")) for dot in dots] for key in ("cx", "cy"))
    assert left == sorted(left, reverse=True)
    assert top == sorted(top, reverse=True)
    assert all(0 <= value <= 100 for value in (*left, *top))


@pytest.mark.parametrize("plans", [0, 1])
def test_one_plan_is_no_curve(plans: int, tmp_path: Path) -> None:
    value = fit()
    value["curve"] = value["curve"][:plans]
    assert "RAM against extra work" not in page_with(tmp_path, value).text


@settings(max_examples=40, deadline=None)
@given(damaged(fit()))
def test_any_figure_may_be_missing_or_of_another_kind(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    page_with(tmp_path_factory.mktemp("damaged"), value)
