"""A coarse answer from facts alone: what the network is made of, and what a target's CPU can do. No ratio, no guess.

The rule says "yes" only to networks whose work is dense convolutions and matrix products on a CPU with dot-product
instructions, "no" only where next to nothing would become integer, and "unknown" to all others: whether depthwise
convolutions, small networks and mixtures gain differs from engine to engine (docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Sequence

from edgert.bundle import LayerRecord
from edgert.payoff import Int8Answer, Int8Basis, Int8Payoff
from edgert.runtime.cpu import DotProduct
from edgert.target import Target
from edgert_converters.payoff.network import Network

__all__ = ["answer_from_facts", "target_dot_product"]

_LEAST_DENSE_SHARE = 0.9
_LEAST_INTEGER_SHARE = 0.1
_LEAST_MACS = 5_000_000
"""Below it a run is mostly what each operator costs before it computes; int8 adds two conversions to that."""
_LEAST_CHANNELS = 8
_WITHOUT = {DotProduct.NONE, DotProduct.UNKNOWN}


def answer_from_facts(
    network: Network, layers: Sequence[LayerRecord], target: str, engine: str, dot_product: DotProduct | None
) -> Int8Payoff:
    """Returns the answer for one CPU.

    Args:
        network: the float network.
        layers: its layers table.
        target: its name, for the answer.
        engine: the engines that the answer is about, for the answer.
        dot_product: instructions of the CPU; None where they are not known.
    """
    total = sum(layer.macs for layer in layers)
    integer = [layer for layer in layers if layer.name in network.plan.integer_nodes]
    share = sum(layer.macs for layer in integer) / total if total else 0.0
    dense = sum(layer.macs for layer in integer if _is_dense(layer)) / total if total else 0.0
    if share < _LEAST_INTEGER_SHARE:
        reason = f"{share:.0%} of its multiply-accumulates are in operators that have an integer form"
        return _answer(target, engine, Int8Answer.NO, reason)
    if dot_product in _WITHOUT or dot_product is None:
        known = "are not known for it" if dot_product in {None, DotProduct.UNKNOWN} else "are missing"
        return _unknown(target, engine, f"nothing was measured there, and 8-bit dot-product instructions {known}")
    if total < _LEAST_MACS:
        return _unknown(target, engine, "nothing was measured there, and a network this small may go either way")
    if dense < _LEAST_DENSE_SHARE:
        rest = f"{1.0 - dense:.0%} of its work is depthwise, float or has few channels"
        return _unknown(target, engine, f"nothing was measured there, and {rest}")
    reason = f"{dense:.0%} of its work is dense, and the CPU has {dot_product.value} instructions"
    return _answer(target, engine, Int8Answer.YES, reason)


def target_dot_product(target: Target) -> DotProduct | None:
    """Returns the dot-product instructions that a target's facts name."""
    return None if target.dot_product is None else DotProduct(target.dot_product)


def _is_dense(layer: LayerRecord) -> bool:
    if layer.op in {"Gemm", "MatMul"}:
        return True
    return (
        layer.op == "Conv"
        and layer.attributes.get("group", 1) == 1
        and len(layer.input_shapes[0]) > 2
        and layer.input_shapes[0][1] >= _LEAST_CHANNELS
    )


def _answer(target: str, engine: str, answer: Int8Answer, reason: str) -> Int8Payoff:
    return Int8Payoff(target, engine, answer, Int8Basis.FACTS, reason=reason)


def _unknown(target: str, engine: str, reason: str) -> Int8Payoff:
    return Int8Payoff(target, engine, Int8Answer.UNKNOWN, Int8Basis.NOTHING, reason=reason)
