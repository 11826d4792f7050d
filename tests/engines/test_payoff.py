"""Will int8 pay? Keys, pieces, sums of layers, answers from facts, bad input; one real run on the demo model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgert
from edgert import cli
from edgert.dtypes import DType
from edgert.payoff import Int8Answer, Int8Basis, Int8Payoff
from edgert.runtime.cpu import DotProduct
from edgert.target import get_target
from edgert_converters.importers import import_model
from edgert_converters.layers import build_layers
from edgert_converters.payoff import child
from edgert_converters.payoff.answer import LAYERS_ERROR, answer_payoff, classify, describe_known
from edgert_converters.payoff.cache import Cache, Place, Timed, load_cache, save_cache
from edgert_converters.payoff.facts import answer_from_facts, target_dot_product
from edgert_converters.payoff.layer_times import CONVERSIONS, kind_lines, sum_layers, times_by_kind
from edgert_converters.payoff.measure import BASE, measure_site
from edgert_converters.payoff.network import Network
from edgert_converters.payoff.pieces import cut_pieces
from edgert_converters.payoff.place import Site, find_sites
from edgert_converters.payoff.structure import structure_of

DIGITS = Path(edgert.__file__).parent / "demo" / "digits.onnx"
HOST = get_target("host")
SITE = Site("onnxruntime", "onnx", DType.UINT8, "here", cuts_layers=True)


def conv_model(path: Path, *, seed: int = 0, channels: int = 16, group: int = 1, middle: str = "Relu") -> Path:
    """Conv 3x3, one operator, Conv 1x1 on [1, channels, 32, 32]."""
    rng = np.random.default_rng(seed)
    shapes = {"w": (channels, channels // group, 3, 3), "v": (channels, channels, 1, 1)}
    weights = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name=f"first{seed}", pads=[1, 1, 1, 1], group=group),
        helper.make_node(middle, ["a"], ["b"], name=f"middle{seed}"),
        helper.make_node("Conv", ["b", "v"], ["y"], name=f"last{seed}"),
    ]
    size = [1, channels, 32, 32]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def network_of(path: Path) -> Network:
    return Network(import_model(path, {}))


def facts_of(path: Path, dot_product: DotProduct | None) -> Int8Payoff:
    imported = import_model(path, {})
    return answer_from_facts(Network(imported), build_layers(imported.model), "board", "engine", dot_product)


def test_structure_leaves_out_names_and_weights_alone(tmp_path: Path) -> None:
    key = structure_of(ir.load(conv_model(tmp_path / "a.onnx")))
    assert structure_of(ir.load(conv_model(tmp_path / "b.onnx", seed=1))) == key
    others = [
        ir.load(conv_model(tmp_path / "c.onnx", channels=32)),
        ir.load(conv_model(tmp_path / "d.onnx", group=16)),
        ir.load(conv_model(tmp_path / "e.onnx", middle="Sigmoid")),
    ]
    assert len({key, *(structure_of(model) for model in others)}) == 4


def test_structure_holds_the_values_of_shapes() -> None:
    def reshape(to: tuple[int, int]) -> ir.Model:
        value = ir.Value(name="x", shape=ir.Shape((2, 6)), type=ir.TensorType(ir.DataType.FLOAT))
        shape = ir.Value(name="s", const_value=ir.tensor(np.array(to, np.int64), name="s"))
        node = ir.node("Reshape", [value, shape])
        graph = ir.Graph([value], node.outputs, nodes=[node], initializers=[shape], opset_imports={"": 18})
        return ir.Model(graph, ir_version=8)

    assert structure_of(reshape((3, 4))) != structure_of(reshape((4, 3)))
    assert structure_of(reshape((3, 4))) == structure_of(reshape((3, 4)))


def test_pieces_are_fused_layers_in_float_and_integer_units_in_int8(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx", group=16))
    assert [(p.op, p.kind, p.work) for p in network.float_pieces] == [
        ("Conv", "depthwise Conv 3x3", 16 * 9 * 32 * 32),
        ("Conv", "Conv 1x1", 16 * 16 * 32 * 32),
    ]
    assert [node.op_type for node in network.float_pieces[0].model.graph] == ["Conv", "Relu"]
    int8 = network.int8_pieces(DType.UINT8)
    assert [piece.op for piece in int8] == ["QuantizeLinear", "Conv", "Conv", "DequantizeLinear"]
    units = [piece.model.graph for piece in int8[1:3]]
    assert {value.dtype for graph in units for value in (*graph.inputs, *graph.outputs)} == {ir.DataType.UINT8}


def test_a_float_operator_between_integers_is_a_piece_with_its_conversions(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx", middle="Hardmax"))
    ops = [piece.op for piece in network.int8_pieces(DType.INT8)]
    assert ops.count("Hardmax") == 1
    assert (ops.count("QuantizeLinear"), ops.count("DequantizeLinear")) == (2, 2)


def known_place(network: Network, float_ms: float, int8_ms: float, base_ms: float = 0.5) -> Place:
    """Every float piece takes `float_ms` and every int8 piece `int8_ms`, on top of what a run costs."""
    layers = {piece.structure: int8_ms + base_ms for piece in network.int8_pieces(SITE.encoding)}
    layers |= {piece.structure: float_ms + base_ms for piece in network.float_pieces}
    return Place({}, layers | {BASE: base_ms})


def test_sums_hold_every_piece_and_one_run(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx"))
    place = known_place(network, 3.0, 1.0)
    assert sum_layers(network, SITE, place) == pytest.approx((0.5 + 2 * 3.0, 0.5 + 4 * 1.0))
    rows = {row.kind: row for row in times_by_kind(network, SITE, place)}
    assert set(rows) == {"Conv 3x3", "Conv 1x1", CONVERSIONS}
    assert (rows[CONVERSIONS].count, rows[CONVERSIONS].float_ms) == (2, 0.0)
    assert rows[CONVERSIONS].int8_ms == pytest.approx(2.0)
    assert "1 Conv 3x3: 3 ms float, 1 ms int8, as single layers" in kind_lines(tuple(rows.values()))


def test_a_layer_faster_than_nothing_counts_nothing(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx"))
    assert sum_layers(network, SITE, known_place(network, 1.0, -0.4)) == (2.5, 0.5)


def test_no_sum_of_a_network_that_is_over_before_its_layers_count(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx"))
    assert sum_layers(network, SITE, known_place(network, 0.04, 0.04)) is None


def test_no_sum_where_a_layer_with_weights_was_never_timed(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx"))
    place = known_place(network, 3.0, 1.0)
    missing = dict(place.layers)
    del missing[network.float_pieces[0].structure]
    assert sum_layers(network, SITE, Place({}, missing)) is None
    assert sum_layers(network, SITE, Place({}, {k: v for k, v in place.layers.items() if k != BASE})) is None
    assert sum_layers(network, SITE, Place()) is None


@pytest.mark.parametrize(
    ("ratio", "measured", "layers"),
    [
        (0.5, Int8Answer.YES, Int8Answer.YES),
        (0.9, Int8Answer.YES, Int8Answer.UNKNOWN),
        (0.96, Int8Answer.SAME, Int8Answer.UNKNOWN),
        (1.04, Int8Answer.SAME, Int8Answer.UNKNOWN),
        (1.2, Int8Answer.NO, Int8Answer.UNKNOWN),
        (2.0, Int8Answer.NO, Int8Answer.NO),
    ],
)
def test_answers_by_ratio(ratio: float, measured: Int8Answer, layers: Int8Answer) -> None:
    timed = Timed(1.0, ratio, ratio / LAYERS_ERROR, ratio * LAYERS_ERROR)
    assert classify(timed, Int8Basis.MEASURED) is measured
    assert classify(timed, Int8Basis.LAYERS) is layers


def test_facts_say_yes_to_dense_work_on_a_cpu_with_dot_products_only(tmp_path: Path) -> None:
    dense = conv_model(tmp_path / "dense.onnx", channels=64)
    answer = facts_of(dense, DotProduct.NEON_DOTPROD)
    assert (answer.answer, answer.basis, answer.ratio) == (Int8Answer.YES, Int8Basis.FACTS, None)
    assert "100% of its work is dense, and the CPU has neon_dotprod" in answer.reason
    for dot_product, words in ((DotProduct.NONE, "are missing"), (None, "are not known"), (DotProduct.UNKNOWN, "not")):
        answer = facts_of(dense, dot_product)
        assert (answer.answer, answer.basis, answer.ratio) == (Int8Answer.UNKNOWN, Int8Basis.NOTHING, None)
        assert words in answer.reason


def test_facts_leave_small_and_depthwise_networks_open(tmp_path: Path) -> None:
    small = facts_of(conv_model(tmp_path / "small.onnx"), DotProduct.NEON_DOTPROD)
    assert (small.answer, small.reason) == (
        Int8Answer.UNKNOWN,
        "nothing was measured there, and a network this small may go either way",
    )
    depthwise = facts_of(conv_model(tmp_path / "depthwise.onnx", channels=72, group=72), DotProduct.NEON_DOTPROD)
    assert depthwise.answer is Int8Answer.UNKNOWN
    assert "11% of its work is depthwise" in depthwise.reason


def test_facts_say_no_where_nothing_becomes_integer(tmp_path: Path) -> None:
    node = helper.make_node("Sin", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    path = tmp_path / "m.onnx"
    model = helper.make_model(
        helper.make_graph([node], "g", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    onnx.save(model, path)
    assert facts_of(path, DotProduct.AVX512_VNNI).answer is Int8Answer.NO
    imported = import_model(path, {})
    rows = answer_payoff(imported, build_layers(imported.model), [HOST], measure=True).rows
    assert {row.answer for row in rows} == {Int8Answer.NO}
    assert {row.basis for row in rows} == {Int8Basis.FACTS}


def test_measurements_never_speak_for_another_target(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERT_CACHE", str(own_cache / "other"))
    imported = import_model(DIGITS, {})
    timed = Timed(1.0, 2.0, 1.9, 2.1)
    save_cache(Cache(places={site.key: Place({Network(imported).structure: timed}) for site in find_sites(HOST)}))
    targets = [HOST, *(get_target(name) for name in ("raspberry-pi-4", "raspberry-pi-5"))]
    rows = answer_payoff(imported, build_layers(imported.model), targets, measure=False).rows
    here = [row for row in rows if row.target == "host"]
    assert here
    assert {(row.answer, row.basis, row.ratio) for row in here} == {(Int8Answer.NO, Int8Basis.MEASURED, 2.0)}
    others = {row.target: row for row in rows if row.target != "host"}
    assert {row.ratio for row in others.values()} == {None}
    assert others["raspberry-pi-4"].answer is Int8Answer.UNKNOWN
    assert others["raspberry-pi-5"].basis is Int8Basis.FACTS
    said = describe_known(imported, targets)
    assert said is not None
    assert said.startswith("will int8 pay here? onnxruntime no (2.00x the float time)")


def test_single_layers_answer_for_a_network_that_was_never_timed(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGERT_CACHE", str(own_cache / "layers"))
    imported = import_model(DIGITS, {})
    network = Network(imported)
    site = next(site for site in find_sites(HOST) if site.engine == "onnxruntime")
    save_cache(Cache(places={site.key: known_place(network, 1.0, 0.1)}))
    rows = answer_payoff(imported, build_layers(imported.model), [HOST], measure=False).rows
    row = next(row for row in rows if row.engine == "onnxruntime")
    assert (row.answer, row.basis) == (Int8Answer.YES, Int8Basis.LAYERS)
    assert row.ratio is not None
    assert row.interval == pytest.approx((row.ratio / LAYERS_ERROR, row.ratio * LAYERS_ERROR), abs=2e-3)
    assert describe_known(imported, [HOST]) is None  # an estimate is no line of `convert`


def test_what_an_engine_cannot_run_is_unknown_with_the_reason(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx", middle="Hardmax"))
    place = Place()
    reason = measure_site(network, dataclasses.replace(SITE, engine="litert", format="tflite"), place)
    assert reason is not None
    assert "Hardmax has no TFLite counterpart" in reason
    assert not place.networks


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("_TIME_LIMIT_S", 0.01, "timing it took longer than 0 s and was stopped"),
        ("_CHILD", "edgert_converters.payoff.gone", "the engine ended with code 1 while it ran"),
    ],
)
def test_a_child_that_hangs_or_ends_early_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: object, words: str
) -> None:
    monkeypatch.setattr(child, setting, value)
    place = Place()
    assert words in str(measure_site(network_of(conv_model(tmp_path / "m.onnx")), SITE, place))
    assert place == Place()


def test_a_model_that_an_engine_refuses_is_unknown_with_its_words(tmp_path: Path) -> None:
    network = network_of(conv_model(tmp_path / "m.onnx"))
    place = Place()
    wrong = dataclasses.replace(SITE, format="tflite")
    assert "onnxruntime cannot load variant 'float.tflite'" in str(measure_site(network, wrong, place))
    assert not place.networks


def test_a_quantized_model_has_no_answer(zoo: Path) -> None:
    summary = edgert.inspect(zoo / "models/mlperf_tiny_kws_dscnn_int8.tflite", targets=["host"], measure=True)
    assert summary.int8_payoff == ()


def test_every_target_names_instructions_that_exist() -> None:
    assert target_dot_product(get_target("raspberry-pi-5")) is DotProduct.NEON_DOTPROD
    assert target_dot_product(get_target("raspberry-pi-4")) is DotProduct.NONE
    assert target_dot_product(get_target("arm-cpu")) is None


def test_inspect_of_the_demo_model(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Measured once with every engine here, then answered from the cache, by inspect and by convert."""
    monkeypatch.setenv("EDGERT_CACHE", str(own_cache / "demo"))
    assert cli.main(["inspect", str(DIGITS), "--json", "-t", "host", "--no-measure"]) == 0
    before = json.loads(capsys.readouterr().out)["int8_payoff"]
    assert {row["basis"] for row in before} <= {"target facts", "never measured"}
    assert {row["ratio"] for row in before} == {None}

    assert cli.main(["inspect", str(DIGITS), "--json", "-t", "host"]) == 0
    rows = json.loads(capsys.readouterr().out)["int8_payoff"]
    assert [row["engine"] for row in rows] == [site.engine for site in find_sites(HOST)]
    for row in rows:
        assert row["basis"] == "measured here", row["reason"]
        assert row["interval"][0] <= row["ratio"] <= row["interval"][1]
        assert row["ratio"] == pytest.approx(row["int8_ms"] / row["float_ms"], abs=1e-3)
        assert row["answer"] == ("about the same" if abs(row["ratio"] - 1) <= 0.05 else row["answer"])
        assert row["threads"] == 1
    stored = load_cache()[0]
    assert all(stored.places[site.key].layers[BASE] > 0 for site in find_sites(HOST) if site.cuts_layers)

    assert cli.main(["inspect", str(DIGITS), "--json", "-t", "host"]) == 0
    assert json.loads(capsys.readouterr().out)["int8_payoff"] == rows
    assert load_cache()[0] == stored

    assert cli.main(["convert", str(DIGITS), "-o", str(tmp_path / "net.edge"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["messages"][0].startswith("will int8 pay here? onnxruntime ")
    assert cli.main(["inspect", str(DIGITS), "-t", "host"]) == 0
    said = capsys.readouterr().out
    assert "will int8 pay?" in said
    assert "measured here" in said


def test_cut_pieces_of_a_real_detector_covers_every_weighted_layer(zoo: Path) -> None:
    network = network_of(zoo / "models/ultraface_RFB_320_nopost.onnx")
    pieces = cut_pieces(network.quantized(DType.UINT8))
    convolutions = sum(node.op_type == "Conv" for node in network.model.graph)
    assert sum(piece.op == "Conv" for piece in pieces) == convolutions
    assert sum(piece.op == "Conv" for piece in network.float_pieces) == convolutions
