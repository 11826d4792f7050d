from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import edgert
from edgert.dtypes import DType
from edgert.errors import EngineError, ModelError, UsageError
from edgert.plugins import EngineOptions, Executor
from edgert.quant import QuantParams
from edgert.runtime.engines import choose_engine
from edgert.runtime.engines.litert import LiteRtEngine
from edgert.runtime.engines.litert_graph import DelegateShare, delegate_share
from edgert.runtime.session import load_profiled
from tests import bundle_example as example
from tests.tflite_example import passing_model

pytest.importorskip("ai_edge_litert")

VARIANT = dataclasses.replace(example.variant("tflite"), format="tflite")
KWS = "mlperf_tiny_kws_dscnn_int8"
MCU = {
    "kws": KWS,
    "vww": "mlperf_tiny_vww_mobilenetv1_int8",
    "ic": "mlperf_tiny_ic_resnet8_int8",
    "ad": "mlperf_tiny_ad_fcae_int8",
    "micro_speech": "micro_speech",
}
KERNELS = {"xnnpack": {}, "built-in": {"xnnpack": "0"}, "reference": {"kernels": "reference"}}
DISTANCE = {
    ("ic", "xnnpack"): (10, 0.25),
    ("ic", "built-in"): (11, 0.15),
    ("ad", "xnnpack"): (2, 0.4133),
    ("ad", "built-in"): (1, 0.0036),
    ("ad", "reference"): (2, 0.4133),
}
"""Largest step and share of differing outputs against TensorFlow Lite Micro; what is not listed gives its bytes.

Measured with ai-edge-litert 2.0.2 and 2.3.0 on x86 with VNNI. LiteRT's kernel sets round in ways of their own.
"""


def load(model: bytes, threads: int | None = 1, **options: str) -> Executor:
    return LiteRtEngine().load(model, VARIANT, EngineOptions(threads, options))


def run_all(executor: Executor, samples: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([executor.run([sample])[0] for sample in samples])


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", MCU)
def test_int8_networks_stay_as_near_to_tflm_as_known(zoo: Path, name: str, kernels: str) -> None:
    executor = load((zoo / "models" / f"{MCU[name]}.tflite").read_bytes(), **KERNELS[kernels])
    given = np.load(zoo / "mcu" / f"{name}.inputs.npy")
    expected = np.load(zoo / "mcu" / f"{name}.outputs_tflm.npy")
    found = run_all(executor, given).reshape(expected.shape)
    steps = np.abs(found.astype(int) - expected)
    largest, share = DISTANCE.get((name, kernels), (0, 0.0))
    assert steps.max() <= largest
    assert (steps > 0).mean() <= share


def test_real_clips_are_recognized_through_float_arrays_and_any_batch(zoo: Path) -> None:
    with np.load(zoo / "data/speech_commands_v2_test_mfcc_4890.npz") as data:
        keep = ~data["split_calib"].astype(bool)
        clips, labels = data[data.files[0]][keep].astype(np.float32)[..., None], data["labels"][keep]
    session = edgert.load(zoo / f"models/{KWS}.tflite", threads=1)
    answers = session.run_batched(clips, 64)["Identity"]
    assert answers.dtype == np.float32
    assert (answers.argmax(1) == labels).mean() == pytest.approx(0.9187, abs=0.003)
    assert_array_equal(session.run(clips[:1])["Identity"], answers[:1])


def test_results_stay_when_the_next_run_comes(zoo: Path) -> None:
    session = edgert.load(zoo / f"models/{KWS}.tflite", threads=1)
    clips = np.load(zoo / "mcu/kws.inputs.npy")
    first = session.run(clips[0], quantized=True)["Identity"]
    kept = first.copy()
    session.run(clips[1], quantized=True)
    assert_array_equal(first, kept)
    session.close()
    assert_array_equal(first, kept)


def test_arrays_in_any_order_of_memory_are_taken(zoo: Path) -> None:
    session = edgert.load(zoo / "models/mlperf_tiny_ic_resnet8_float.tflite", threads=1)
    image = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = session.run(image)["Identity"]
    assert_array_equal(session.run(np.asfortranarray(image))["Identity"], expected)
    assert_array_equal(session.run(np.repeat(image, 2, axis=2)[:, :, ::2])["Identity"], expected)


def test_ports_say_shape_type_and_scale(zoo: Path) -> None:
    executor = load((zoo / f"models/{KWS}.tflite").read_bytes())
    (given,), (answer,) = executor.inputs, executor.outputs
    assert (given.name, given.shape, given.dtype) == ("input_1", (None, 49, 10, 1), DType.INT8)
    assert given.quant == QuantParams((0.5847029089927673,), (83,), DType.INT8)
    assert answer.quant == QuantParams((1 / 256,), (-128,), DType.INT8)


def test_names_are_those_of_the_only_signature(zoo: Path) -> None:
    executor = load((zoo / "models/basic_pitch_nmp.tflite").read_bytes())
    assert [spec.name for spec in executor.inputs] == ["input_2"]
    assert {spec.name: spec.shape for spec in executor.outputs} == {
        "contour": (None, 172, 264),
        "note": (None, 172, 88),
        "onset": (None, 172, 88),
    }


def test_equal_tensor_names_are_told_apart() -> None:
    executor = load(passing_model(names=("x", "x")))
    assert [spec.name for spec in executor.inputs] == ["x", "x:1"]
    left, right = np.ones((1, 4), np.float32), np.zeros((1, 4), np.float32)
    assert_array_equal(np.stack(executor.run([left, right])), np.stack([left, right]))


def test_a_batch_comes_and_goes(zoo: Path) -> None:
    session = edgert.load(zoo / "models/ultraface_RFB_320_nopost.tflite", threads=1)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 240, 320, 3)).astype(np.float32)
    alone = [session.run(image[None])["Identity"] for image in images]
    assert_array_equal(session.run(images)["Identity"], np.concatenate(alone))
    assert_array_equal(session.run(images[:1])["Identity"], alone[0])


def test_a_size_that_the_model_cannot_have_leaves_it_usable(zoo: Path) -> None:
    executor = load((zoo / "models/mlperf_tiny_ad_fcae_float.tflite").read_bytes())
    sample = np.random.default_rng(0).standard_normal((2, 640)).astype(np.float32)
    expected = executor.run([sample])[0]
    with pytest.raises(EngineError, match="litert failed while running: .*"):
        executor.run([sample[:, :639]])
    assert_array_equal(executor.run([sample])[0], expected)


def wake_word_frames() -> np.ndarray:
    """int8[52, 1, 3, 40]: smooth noise, to whose last frame the network answers 1, and 0 when it is the first."""
    rng = np.random.default_rng(52)
    noise, width = rng.normal(0, 1, (240, 40)), rng.integers(3, 40)
    for axis, size in ((0, width), (1, 7)):
        noise = np.apply_along_axis(lambda line, n: np.convolve(line, np.ones(n) / n**0.5, "same"), axis, noise, size)
    loud = noise * rng.uniform(20, 80) + rng.uniform(-120, 0)
    return np.clip(loud, -128, 127).astype(np.int8).reshape(80, 1, 3, 40)[:52]


def test_a_stateful_model_remembers_until_reset(zoo: Path) -> None:
    session = edgert.load(zoo / "models/microwakeword_okay_nabu.tflite", threads=1)
    frames = wake_word_frames()

    def answers(some: np.ndarray) -> list[int]:
        return [int(session.run(frame, quantized=True)["dense_1"].item()) for frame in some]

    (fresh,) = answers(frames[-1:])
    session.reset()
    assert answers(frames)[-1] != fresh
    session.reset()
    assert answers(frames[-1:]) == [fresh]


def test_reset_keeps_the_batch(zoo: Path) -> None:
    session = edgert.load(zoo / f"models/{KWS}.tflite", threads=1)
    clips = np.load(zoo / "mcu/kws.inputs.npy")[:, 0]
    expected = session.run(clips, quantized=True)["Identity"]
    session.reset()
    assert_array_equal(session.run(clips, quantized=True)["Identity"], expected)


def test_an_engine_without_state_has_nothing_to_forget(tmp_path: Path) -> None:
    with edgert.load(example.write(tmp_path)) as session:
        session.reset()
        assert session.run(np.zeros((1, 4), np.float32))["y"].shape == (1, 3)


def test_the_facts_say_what_runs(zoo: Path) -> None:
    model = (zoo / f"models/{KWS}.tflite").read_bytes()
    facts = load(model, threads=None).facts()
    assert facts["package"] == "ai-edge-litert"
    assert facts["version"] == LiteRtEngine().version()
    assert facts["threads"] == 1
    assert facts["providers"] == ["XNNPACK", "built-in kernels"]
    assert (facts["nodes"], facts["xnnpack_pieces"]) == (13, 2)
    assert 0 < facts["xnnpack_nodes"] < 13
    assert "fallback" not in facts
    assert load(model, threads=2).facts()["threads"] == 2


@pytest.mark.parametrize(
    ("options", "providers"),
    [({"xnnpack": "0"}, ["built-in kernels"]), ({"kernels": "reference"}, ["reference kernels"])],
)
def test_without_xnnpack_no_node_is_taken(zoo: Path, options: dict[str, str], providers: list[str]) -> None:
    facts = load((zoo / f"models/{KWS}.tflite").read_bytes(), **options).facts()
    assert (facts["xnnpack_nodes"], facts["providers"]) == (0, providers)


def test_xnnpack_that_was_asked_for_and_takes_nothing_is_said() -> None:
    assert load(passing_model(), xnnpack="1").facts()["fallback"] == (
        "XNNPACK was asked for and took none of the 0 nodes"
    )


def test_the_share_of_a_delegate_is_what_stands_between_its_borders() -> None:
    def node(op: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
        return {"op_name": op, "inputs": np.array(inputs), "outputs": np.array(outputs)}

    chain = [node("A", [0, 9], [1]), node("B", [1, -1], [2]), node("C", [2], [3]), node("D", [3, 2], [4])]
    assert delegate_share(chain) == DelegateShare(4, 0, 0)
    assert delegate_share([*chain, node("DELEGATE", [1], [2, 3])]) == DelegateShare(4, 2, 1)
    two = [node("DELEGATE", [0, 9], [1]), node("DELEGATE", [2, 3], [4])]
    assert delegate_share([*chain, *two]) == DelegateShare(4, 2, 2)


def test_a_name_inside_the_graph_that_is_no_text_does_no_harm(zoo: Path) -> None:
    model = (zoo / "models/micro_speech.tflite").read_bytes()
    executor = load(model.replace(b"Relu", b"\xffelu"))
    sample = np.load(zoo / "mcu/micro_speech.inputs.npy")[0]
    assert_array_equal(executor.run([sample])[0], load(model).run([sample])[0])
    assert executor.facts()["providers"] == [], "what ran is not known then"
    assert "nodes" not in executor.facts()


def test_options_that_are_unknown_or_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="litert has no option 'xnpack'; did you mean 'xnnpack'.*known: kernels"):
        load(passing_model(), xnpack="1")
    with pytest.raises(UsageError, match="litert option kernels is 'fast'; allowed: auto, reference"):
        load(passing_model(), kernels="fast")
    with pytest.raises(UsageError, match="kernels=reference and xnnpack=1 contradict each other"):
        load(passing_model(), kernels="reference", xnnpack="1")
    assert load(passing_model(), latest_features="1").facts()["options"]["latest_features"] == "1"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (b"", "'tflite': the file is empty"),
        (b"hello", "'tflite': The model is not a valid Flatbuffer buffer"),
        (passing_model("COMPLEX64"), "tensor 'x' has type complex64, which edgert does not run"),
        (passing_model("STRING"), "tensor 'x' has type bytes_, which edgert does not run"),
        (passing_model("INT8", scale=-1.0), "'x' has a damaged quantization: every scale must be"),
        (passing_model("INT8", scale=0.5, zero_point=300), r"zero points must lie in \[-128, 127\]"),
    ],
)
def test_a_model_that_cannot_be_run(model: bytes, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        load(model)


def test_a_file_cut_short_keeps_the_engines_words(zoo: Path) -> None:
    model = (zoo / "models/basic_pitch_nmp.tflite").read_bytes()
    with pytest.raises(ModelError, match="litert cannot load variant 'tflite': .+"):
        load(model[: len(model) // 2])


def test_a_failure_while_running_keeps_the_engines_words() -> None:
    with pytest.raises(EngineError, match="litert failed while running: Cannot set tensor: Got value of type INT32"):
        load(passing_model()).run([np.zeros((1, 4), np.int32)])


def test_layers_are_not_timed_and_the_facts_say_why(zoo: Path) -> None:
    with load_profiled(zoo / f"models/{KWS}.tflite", None, 1, None, {}) as session:
        session.run(np.zeros((1, 49, 10, 1), np.float32))
        assert session.layer_times() == ()
        assert "no profiler of single operators" in session.facts()["no_layer_times"]


def test_the_engine_is_chosen_for_its_format() -> None:
    assert choose_engine(VARIANT).name == "litert"
    assert choose_engine(example.variant("onnx-fp32")).name == "onnxruntime"
    with pytest.raises(EngineError, match="'onnx-fp32' .onnx.: litert: reads tflite, not onnx"):
        choose_engine(example.variant("onnx-fp32"), "litert")
