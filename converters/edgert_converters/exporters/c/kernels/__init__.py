"""How each TFLite operator becomes kernel calls: one rule per operator, one file per family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from edgert_converters.exporters.c.kernels.arithmetic import lower_add
from edgert_converters.exporters.c.kernels.concat import lower_concat, lower_pack
from edgert_converters.exporters.c.kernels.conv import lower_conv
from edgert_converters.exporters.c.kernels.depthwise import lower_depthwise_conv
from edgert_converters.exporters.c.kernels.fully_connected import lower_fully_connected
from edgert_converters.exporters.c.kernels.pool import lower_average_pool
from edgert_converters.exporters.c.kernels.rearrange import MOVE_RULES
from edgert_converters.exporters.c.kernels.softmax import lower_softmax
from edgert_converters.exporters.c.kernels.tables import lower_table
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.tables import TABLE
from edgert_converters.tflite.model import TfOperator

__all__ = ["RULES", "LowerRule"]


class LowerRule(Protocol):
    """Adds to the network what one operator computes."""

    def __call__(self, operator: TfOperator, network: Lowering) -> None:
        """Ends with `network.add` or `network.alias`.

        Raises:
            ModelError: no kernel computes it; `network.refusal(operator, why)` makes it.
        """
        ...


RULES: Final[Mapping[str, LowerRule]] = {
    "ADD": lower_add,
    "AVERAGE_POOL_2D": lower_average_pool,
    "CONCATENATION": lower_concat,
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise_conv,
    "FULLY_CONNECTED": lower_fully_connected,
    "PACK": lower_pack,
    "SOFTMAX": lower_softmax,
    TABLE: lower_table,
    **MOVE_RULES,
}
