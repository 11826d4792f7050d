"""The compression space, its choices as recipes, and figures of records: everything that needs no conversion."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgert.bundle import LayerRecord, TensorSpec
from edgert.devices.names import Device
from edgert.dtypes import DType
from edgert.errors import RecipeError
from edgert.profiler.record import EnergyRecord, Reason, Record, Verdict
from edgert.recipe import Algorithm, RangeMethod, Recipe
from edgert.search.compression_files import Converted, accuracy_of
from edgert.search.compression_identity import hash_data
from edgert.search.compression_recipe import at_resolution, image_size, recipe_of
from edgert.search.compression_space import build_space, default_dimensions, has_integers, layers_of_group
from edgert.search.goals import Quantity
from edgert.search.measure import MeasurementError, Measuring, check_figures, check_quantities, figures_of, measure
from tests.record_example import board_record, record

KNOWN = ("precision", "ranges", "algorithm", "resolution", "engine", "threads")
NAMES = ("stem", "stem/relu", "body/1", "body/1/relu", "body/2", "body/2/relu", "add", "head")
IMAGE = (TensorSpec("image", (None, 3, 112, 112), DType.FLOAT, "NCHW"),)
STEPS = (
    {"op": "resize_shorter", "size": 128, "antialias": True},
    {"op": "center_crop", "height": 112, "width": 112},
    {"op": "normalize", "mean": [127.5], "std": [127.5]},
)
BASE = Recipe(Path("/m.onnx"), preprocess=STEPS)
LOCAL, BOARD = Device("local", "local:"), Device("qemu:mps2-an386", "qemu:mps2-an386")


def layer(name: str) -> LayerRecord:
    macs = 0 if name.endswith("relu") or name == "add" else 100
    return LayerRecord(name, "Conv" if macs else "Relu", (), (), (), (), DType.FLOAT, macs, macs * 4, 0)


LAYERS = tuple(layer(name) for name in NAMES)


def test_stages_hold_consecutive_layers_once() -> None:
    stages = [layers_of_group(LAYERS, f"precision:{number}/2") for number in (1, 2)]
    assert stages == [NAMES[:4], NAMES[4:]]
    thirds = [name for number in (1, 2, 3) for name in layers_of_group(LAYERS, f"precision:{number}/3")]
    assert tuple(thirds) == NAMES


def test_patterns_name_groups() -> None:
    space = build_space({"precision:body/*": ("int8", "fp32"), "precision:*/2": ("int8",)}, LAYERS, KNOWN, 0)
    assert list(space.dimensions) == ["precision:body/*", "precision:1/2", "precision:2/2"]
    assert layers_of_group(LAYERS, "precision:body/*") == NAMES[2:6]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"precision_": ("int8",)},
            r"\[search.space\]: no dimension 'precision_' on this device; did you mean 'precision'",
        ),
        ({"max_ram": (4096,)}, "no dimension 'max_ram' on this device"),
        ({"precision": ("int9",)}, r"precision: no value 'int9'; did you mean 'int8'"),
        ({"precision:body/*": ("fp16",)}, "precision:body/\\*: no value 'fp16'"),
        ({"precision:tail*": ("fp32",)}, "precision:tail\\*: the pattern matches no layer; edgert inspect lists them"),
        ({"precision:3/2": ("fp32",)}, "stages are counted from 1 to 2"),
        ({"precision:*/0": ("fp32",)}, "1 to 64 stages, got 0"),
        ({"ranges": ("minmax",)}, "ranges: no value 'minmax'; did you mean 'min-max'"),
        ({"algorithm": ("equalize+smoth",)}, "algorithm: no step 'smoth'; did you mean 'smooth'"),
        ({"threads": (0,)}, "threads: must be whole numbers above 0, got 0"),
        ({"resolution": (96.5,)}, "resolution: must be whole numbers above 0, got 96.5"),
    ],
)
def test_mistakes_in_the_space(given: dict[str, tuple[str | int | float, ...]], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        build_space(given, LAYERS, KNOWN, 0)


def test_what_has_no_effect_is_no_other_choice() -> None:
    space = build_space(
        {"precision": ("int8", "fp32"), "precision:*/2": ("int8", "fp32"), "ranges": ("mse", "octav")}, LAYERS, KNOWN, 0
    )
    plain = {"precision": "fp32", "precision:1/2": "int8", "precision:2/2": "int8", "ranges": "mse"}
    assert space.allows(plain)
    assert space.normal({**plain, "ranges": "octav", "precision:1/2": "fp32"}) == plain
    all_float = {"precision": "int8", "precision:1/2": "fp32", "precision:2/2": "fp32", "ranges": "octav"}
    assert space.normal(all_float) == plain
    assert not space.allows(all_float)
    assert space.allows({**all_float, "precision:1/2": "int8"})


def test_samples_and_neighbours_are_allowed_and_differ() -> None:
    space = build_space(default_dimensions(is_microcontroller=False), LAYERS * 4, KNOWN, 0)
    random = np.random.default_rng(0)
    choice = space.sample(random)
    seen = set()
    for _ in range(200):
        neighbour = space.mutate(choice, random)
        assert space.allows(neighbour)
        assert dict(neighbour) != dict(choice)
        choice = neighbour
        seen.add(tuple(choice.values()))
    assert len(seen) > 20
    assert has_integers({"precision": "int8"})
    assert not has_integers({"precision": "int4-block32"})


def test_a_space_of_one_choice_has_no_neighbour() -> None:
    space = build_space({"precision": ("fp32",), "ranges": ("mse", "octav")}, LAYERS, KNOWN, 0)
    with pytest.raises(ValueError, match="no neighbour of this choice makes other files"):
        space.mutate(space.sample(np.random.default_rng(0)), np.random.default_rng(0))


def test_features_tell_size_and_float_share() -> None:
    given = {"resolution": (56, 112), "precision:1/2": ("int8", "fp32")}
    space = build_space(given, LAYERS, KNOWN, 112)
    rows = space.encode([{"resolution": 112, "precision:1/2": "int8"}, {"resolution": 56, "precision:1/2": "fp32"}])
    assert rows.shape == (2, 4 + 3)
    assert rows[0, 4:].tolist() == [1.0, 0.0, 0.25]
    assert rows[1, 4:].tolist() == [0.25, 0.125, 0.625]


def test_a_choice_as_a_recipe() -> None:
    choice = {"precision": "int8", "precision:1/2": "fp32", "ranges": "octav", "algorithm": "equalize+smooth"}
    found = recipe_of(BASE, choice, LAYERS, IMAGE, "tflite")
    assert found == dataclasses.replace(
        BASE,
        precisions=("int8",),
        formats=("tflite",),
        float_layers=NAMES[:4],
        ranges=RangeMethod.OCTAV,
        algorithms=(Algorithm.EQUALIZE, Algorithm.SMOOTH),
    )
    plain = recipe_of(BASE, {"precision": "fp32", "precision:1/2": "fp32", "ranges": "octav"}, LAYERS, IMAGE, "onnx")
    assert plain == dataclasses.replace(BASE, precisions=(), formats=("onnx",))
    assert recipe_of(BASE, {"max_ram": 9000, "algorithm": "default"}, LAYERS, IMAGE, "c").max_ram_bytes == 9000


@pytest.mark.parametrize(("pixels", "shorter"), [(96, 110), (128, 146), (56, 64)])
def test_pre_processing_follows_the_resolution(pixels: int, shorter: int) -> None:
    found = at_resolution(BASE, IMAGE, pixels)
    assert found.shapes == {"image": (1, 3, pixels, pixels)}
    assert found.preprocess[0] == {"op": "resize_shorter", "size": shorter, "antialias": True}
    assert found.preprocess[1] == {"op": "center_crop", "height": pixels, "width": pixels}
    assert found.preprocess[2] == STEPS[2]
    assert at_resolution(BASE, IMAGE, 112) == BASE, "the model as it is"


def test_where_there_is_no_resolution() -> None:
    sound = (TensorSpec("mfcc", (None, 49, 10, 1), DType.FLOAT, "NHWC"),)
    assert (image_size(IMAGE), image_size(sound)) == (112, 0)
    with pytest.raises(RecipeError, match=r"needs a model with one input, a square image \[N, C, H, W\]; found mfcc"):
        at_resolution(BASE, sound, 96)
    with pytest.raises(RecipeError, match=r"needs a \[\[preprocess\]\] step that brings images to the 112x112"):
        at_resolution(dataclasses.replace(BASE, preprocess=STEPS[2:]), IMAGE, 96)


def energy(**changes: object) -> EnergyRecord:
    made = EnergyRecord(
        "meter", (), 1000.0, "1 %", "nothing", idle_mw=2000.0, gross_mj=50.0, net_mj=30.0, net_ci95_mj=None
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_figures_of_a_computer() -> None:
    measured = record(10.0, energy=energy(), energy_reason=None)
    figures = figures_of(measured, None)
    assert figures[Quantity.LATENCY_MS] == measured.latency.p50_ms
    assert figures[Quantity.ENERGY_MJ] == 50.0
    assert figures[Quantity.RAM_BYTES] == measured.memory.peak_rss_bytes
    # one inference a second: 2 W of idling for the second, and 30 mJ
    assert figures_of(measured, 1.0)[Quantity.ENERGY_MJ] == pytest.approx(2030.0)
    with pytest.raises(MeasurementError, match="500 inferences a second do not fit: one takes 9.998 ms"):
        figures_of(measured, 500.0)


def test_figures_of_a_microcontroller() -> None:
    board = board_record(1000)
    figures = figures_of(board, None)
    assert figures[Quantity.INSTRUCTIONS] == 1000
    assert figures[Quantity.RAM_BYTES] == board.ram_bytes.total
    assert Quantity.LATENCY_MS not in figures, "counted by an emulator: no measure of time"


def test_a_sensor_that_is_not_there_stops_the_search() -> None:
    measured = record(10.0, energy=None, energy_reason="no sensor is here")
    with pytest.raises(RecipeError, match="energy_mj cannot be measured on .*: no sensor is here"):
        check_figures(figures_of(measured, None), (Quantity.ACCURACY, Quantity.ENERGY_MJ), measured)


@pytest.mark.parametrize(
    ("quantity", "device", "said"),
    [
        (
            Quantity.LATENCY_MS,
            BOARD,
            "latency_ms is no quantity of qemu:mps2-an386, an emulated microcontroller; there",
        ),
        (
            Quantity.INSTRUCTIONS,
            LOCAL,
            "instructions is no quantity of local, a computer; there is accuracy, size_bytes",
        ),
        (
            Quantity.SIZE_BYTES,
            Device("disco", "serial:///dev/ttyACM0"),
            "disco is a microcontroller that would be flashed",
        ),
    ],
)
def test_quantities_that_a_device_does_not_have(quantity: Quantity, device: Device, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        check_quantities((quantity,), device)


def test_an_invalid_record_is_measured_once_more_and_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that somebody moves cannot be had on order: the records are given here."""
    reasons = (Reason("clock-step", "the system time was moved by 3600.0 s"),)
    bad, good = record(10.0, verdict=Verdict.INVALID, reasons=reasons), record(10.0)
    durations: list[float] = []
    replies: list[Record] = [bad, good]

    def profile(*given: object) -> tuple[Record, dict[str, object]]:
        durations.append(given[-1].duration_s)  # type: ignore[attr-defined]
        return replies[len(durations) - 1], {}

    monkeypatch.setattr("edgert.search.measure.profile_on_device", profile)
    assert measure(LOCAL, Path("net.edge"), Measuring("onnx-int8", duration_s=0.5)) is good
    assert durations == [0.5, 1.5]
    durations.clear()
    replies[1] = bad
    with pytest.raises(MeasurementError, match="measured twice, and twice invalid: clock-step: the system time was"):
        measure(LOCAL, Path("net.edge"), Measuring("onnx-int8"))


def test_data_are_known_by_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "1.png").write_bytes(b"one")
    first = hash_data(str(folder))
    assert hash_data(str(folder)) == first
    (folder / "cat" / "1.png").write_bytes(b"two")
    assert hash_data(str(folder)) != first
    (tmp_path / "data.yaml").write_text("val: images\n")
    listed = hash_data(str(tmp_path / "data.yaml"))
    assert hash_data(f"{tmp_path / 'data.yaml'}#train") != listed
    (folder / "cat" / "2.png").write_bytes(b"more")
    assert hash_data(str(tmp_path / "data.yaml")) != listed
    assert hash_data("module:function") == "module:function"


def converted(reference: dict[str, object]) -> Converted:
    return Converted("net.edge", "0" * 64, reference, [], ())


@pytest.mark.parametrize(
    ("reference", "row", "accuracy"),
    [
        ({"metric": "top1", "higher_is_better": True}, {"value": 91.5, "agree": 0.98}, 91.5),
        ({"metric": "mse", "higher_is_better": False}, {"value": 0.25, "agree": None}, -0.25),
        ({"metric": "agreement"}, {"value": None, "agree": 0.98}, 98.0),
    ],
)
def test_accuracy_is_better_high(reference: dict[str, object], row: dict[str, object], accuracy: float) -> None:
    assert accuracy_of(converted(reference), row, resized=False) == accuracy


def test_no_accuracy() -> None:
    row = {"id": "c-board", "value": None, "agree": None, "drop": None, "notes": ["no engine here"]}
    with pytest.raises(MeasurementError, match="no accuracy of c-board: no engine here"):
        accuracy_of(converted({"metric": "top1"}), row, resized=False)
    with pytest.raises(
        RecipeError, match="resolution needs labels in the data: without, every size agrees with itself"
    ):
        accuracy_of(converted({"metric": "agreement"}), {"agree": 1.0}, resized=True)
    with pytest.raises(RecipeError, match="the data have no labels and the outputs no classes"):
        accuracy_of(converted({"metric": "agreement"}), {**row, "drop": 0.1}, resized=False)
