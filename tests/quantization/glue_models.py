"""Networks of the zoo with what exporters write behind them: the tail of a classifier, the head of a detector."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import compose, parser, version_converter

CLASSIFIER_TAIL = """
<ir_version: 8, opset_import: ["" : 18]>
tail (float[N, 10] logits)
  => (float[N, 10] probabilities, int64[N] best, float[N, 10] one_hot, bool[N, 10] nucleus, float[N, 10] ranked)
<int64 depth = {10}, float[2] off_on = {0.0, 1.0}, int64[1] k = {10}, int64 last = {1}, float mass = {0.9}>
{
  probabilities = Softmax <axis = 1> (logits)
  best = ArgMax <axis = 1, keepdims = 0> (probabilities)
  one_hot = OneHot <axis = 1> (best, depth, off_on)
  ranked, order = TopK <axis = 1> (probabilities, k)
  sums = CumSum <exclusive = 1> (ranked, last)
  nucleus = Less (sums, mass)
}
"""

DETECTOR_HEAD = """
<ir_version: 8, opset_import: ["" : 18]>
head (float[1, 4420, 2] scores, float[1, 4420, 4] boxes)
  => (float[1, 4420, 4] bounded, float[1, 32] confidence, float[1, 32, 4] found, float[1, 1] count)
<float[1] low = {-1.0}, float[1] high = {1.0}, int64[1] face = {1}, int64[1] second = {2}, int64[1] k = {32},
 int64[1] one = {1}, int64[3] repeats = {1, 1, 4}, float threshold = {0.5}, int64 start = {0}, int64 step = {1},
 int64 most = {20}, float[1] nothing = {0.0}>
{
  above = Max (boxes, low)
  bounded = Min (above, high)
  columns = Gather <axis = 2> (scores, face)
  faces = Squeeze (columns, second)
  ranked, order = TopK <axis = 1> (faces, k)
  wide = Unsqueeze (order, second)
  index = Expand (wide, repeats)
  found = GatherElements <axis = 1> (bounded, index)
  sizes = Shape <start = 1, end = 2> (ranked)
  size = Squeeze (sizes)
  places = Range (start, size, step)
  allowed = Less (places, most)
  sure = GreaterOrEqual (ranked, threshold)
  keep = And (allowed, sure)
  confidence = Where (keep, ranked, nothing)
  numbers = Cast <to = 1> (keep)
  count = ReduceSum (numbers, one)
}
"""


def add_tail(source: Path, text: str, ports: dict[str, str], target: Path) -> onnx.ModelProto:
    """Writes the network in `source` with the graph in `text` behind it.

    Args:
        source: a network of the zoo.
        text: the graph behind it, as ONNX text.
        ports: inputs of that graph by the network's outputs.
        target: the file to write.
    """
    network = onnx.load(source)
    weights = {tensor.name for tensor in network.graph.initializer}
    for value in [value for value in network.graph.input if value.name in weights]:
        network.graph.input.remove(value)
    network.ir_version = 8
    network = version_converter.convert_version(network, 18)
    network.ir_version = 8
    del network.graph.value_info[:]
    tail = compose.add_prefix(parser.parse_model(text), "tail_", rename_outputs=False)
    pairs = [(output, f"tail_{port}") for output, port in ports.items()]
    joined = compose.merge_models(network, tail, pairs)
    onnx.save(joined, target)
    return joined
