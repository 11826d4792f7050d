"""State of streaming models: inputs that take an output of the run before become buffers that the arena keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgert_converters.exporters.c.network import Network, State, View
from edgert_converters.tflite.state import StateBinding

__all__ = ["with_states"]


def with_states(
    network: Network, inputs: dict[str, int], outputs: dict[str, View], bindings: Sequence[StateBinding]
) -> Network:
    """Returns the network without its state inputs, which the arena keeps.

    Args:
        network: with the states as inputs.
        inputs: the buffer of every input by name.
        outputs: where every output lies, by name.
        bindings: which of them belong together.
    """
    states, buffers = [], list(network.buffers)
    for binding in bindings:
        target = inputs[binding.input]
        buffer = buffers[target]
        initial: int | float = binding.initial
        if buffer.quant is not None:
            initial = round(binding.initial / buffer.quant.scale[0]) + buffer.quant.zero_point[0]
        buffers[target] = replace(buffer, is_persistent=True)
        states.append(State(target, outputs[binding.output], initial))
    held = {state.target for state in states}
    kept = tuple(b for b in network.inputs if b not in held)
    return replace(network, buffers=tuple(buffers), inputs=kept, states=tuple(states))
