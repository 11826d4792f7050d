"""How each TFLite operator becomes kernel calls: one rule per operator, one file per family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from edgert.dtypes import DType
from edgert_converters.exporters.c.kernels.arithmetic import lower_add
from edgert_converters.exporters.c.kernels.batch_matmul import lower_batch_matmul
from edgert_converters.exporters.c.kernels.by_type import by_type, same_shape_or_pair
from edgert_converters.exporters.c.kernels.concat import lower_concat, lower_pack
from edgert_converters.exporters.c.kernels.conv import lower_conv
from edgert_converters.exporters.c.kernels.depthwise import lower_depthwise_conv
from edgert_converters.exporters.c.kernels.float_layers import FLOAT_LAYERS
from edgert_converters.exporters.c.kernels.floats import FLOAT_RULES
from edgert_converters.exporters.c.kernels.fully_connected import lower_fully_connected
from edgert_converters.exporters.c.kernels.pads import lower_pad
from edgert_converters.exporters.c.kernels.pairs import PAIR_RULES, lower_pair
from edgert_converters.exporters.c.kernels.pool import lower_average_pool, lower_max_pool, lower_mean, lower_sum
from edgert_converters.exporters.c.kernels.prelu import lower_prelu
from edgert_converters.exporters.c.kernels.rearrange import MOVE_RULES
from edgert_converters.exporters.c.kernels.reduce import FLOAT_REDUCTIONS, lower_extreme, lower_place
from edgert_converters.exporters.c.kernels.resize import lower_resize_bilinear
from edgert_converters.exporters.c.kernels.select import SELECT_RULES
from edgert_converters.exporters.c.kernels.softmax import lower_softmax
from edgert_converters.exporters.c.kernels.tables import lower_table
from edgert_converters.exporters.c.kernels.transpose_conv import lower_transpose_conv
from edgert_converters.exporters.c.kernels.wide import WIDE_LAYERS
from edgert_converters.exporters.c.kernels.wide_rest import WIDE_REST
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.tables import TABLE
from edgert_converters.tflite.model import TfOperator

__all__ = ["RULES", "LowerRule"]


class LowerRule(Protocol):
    """Adds to the network what one operator computes."""

    def __call__(self, operator: TfOperator, network: Lowering, /) -> None:
        """Ends with `network.add` or `network.alias`.

        Raises:
            ModelError: no kernel computes it; `network.refusal(operator, why)` makes it.
        """
        ...


_INT8: Final[dict[str, Callable[[TfOperator, Lowering], None]]] = {
    "ADD": same_shape_or_pair(lower_add),
    "AVERAGE_POOL_2D": lower_average_pool,
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise_conv,
    "FULLY_CONNECTED": lower_fully_connected,
    "MAX_POOL_2D": lower_max_pool,
    "MEAN": lower_mean,
    "SOFTMAX": lower_softmax,
    "SUM": lower_sum,
}
RULES: Final[Mapping[str, LowerRule]] = {
    "ARG_MAX": lower_place,
    "ARG_MIN": lower_place,
    "BATCH_MATMUL": lower_batch_matmul,
    "CONCATENATION": lower_concat,
    "PACK": lower_pack,
    "PAD": lower_pad,
    "PADV2": lower_pad,
    "PRELU": lower_prelu,
    "REDUCE_MAX": lower_extreme,
    "REDUCE_MIN": lower_extreme,
    "RESIZE_BILINEAR": lower_resize_bilinear,
    TABLE: lower_table,
    "TRANSPOSE_CONV": lower_transpose_conv,
    **MOVE_RULES,
    **FLOAT_RULES,
    **PAIR_RULES,
    **SELECT_RULES,
    **by_type(
        {
            DType.INT8: _INT8,
            DType.INT16: {**WIDE_LAYERS, **WIDE_REST, "ADD": lower_pair},
            DType.FLOAT: {**FLOAT_LAYERS, **FLOAT_REDUCTIONS, "ADD": lower_pair},
        }
    ),
}
