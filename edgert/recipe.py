"""The recipe: everything a conversion needs to know, from flags and edgert.toml (docs/recipe.md).

Read on the laptop only; what a board must know of it travels in the bundle's manifest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from edgert.bundle import Step

__all__ = ["DEFAULT_ALGORITHMS", "Algorithm", "RangeMethod", "Recipe"]


class RangeMethod(enum.Enum):
    """How the range of an activation is chosen from its statistics."""

    MIN_MAX = "min-max"
    PERCENTILE = "percentile"
    MSE = "mse"
    ENTROPY = "entropy"
    OCTAV = "octav"


class Algorithm(enum.Enum):
    """A step of the quantizer that can be switched; docs/quantize.md says what each does and what it gains."""

    NONE = "none"  # no step: the only way to say so on the command line
    EQUALIZE = "equalize"
    ABSORB_BIAS = "absorb-bias"
    SMOOTH = "smooth"
    HADAMARD = "hadamard"
    KLT = "klt"
    KRONECKER = "kronecker"
    BIAS_CORRECTION = "bias-correction"
    ANALYTIC_BIAS = "analytic-bias"
    CHANNEL_RECONSTRUCTION = "channel-reconstruction"
    ADAROUND = "adaround"
    RECONSTRUCTION = "reconstruction"


DEFAULT_ALGORITHMS = (Algorithm.EQUALIZE, Algorithm.SMOOTH, Algorithm.BIAS_CORRECTION)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A resolved recipe. Paths are absolute or relative to the working directory.

    `calib` and `eval` are data specifications (a file, a folder, or `module:function`); `precisions` names the variants
    beside float (`int8`, `fp16`); `formats` the kinds of files (`onnx`, `tflite`, `c`), () those that the targets'
    engines read; `float_io` keeps float inputs and outputs of integer .tflite files;
    `layout` is the axis order of a .tflite model's image inputs and outputs (`keep`, `nchw`, `nhwc`);
    `metric` is a metric's name or `module:function`, None: chosen from the data.
    `metric_output` names the model output that the metric reads when there are several. `max_drop_points` is in points
    (hundredths) of the metric. `algorithms` are the quantizer's steps to take, `time_limit_s` bounds each that
    optimises. `float_layers` are names or patterns of layers that integer variants keep float. `max_ram_bytes` is the
    most RAM that generated C may need, None what its board has. `labels` are class names. `calib_samples` limits how
    many calibration samples are used; `data_free` takes none: `input_range` says what float inputs lie between then.
    """

    model: Path
    targets: tuple[str, ...] = ("host",)
    output: Path | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    layout: str = "keep"
    calib: str | None = None
    eval: str | None = None
    metric: str | None = None
    metric_output: str | None = None
    max_drop_points: float = 1.0
    strict: bool = False
    precisions: tuple[str, ...] = ("int8",)
    formats: tuple[str, ...] = ()
    float_io: bool = False
    ranges: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99
    algorithms: tuple[Algorithm, ...] = DEFAULT_ALGORITHMS
    float_layers: tuple[str, ...] = ()
    time_limit_s: float = 300.0
    max_ram_bytes: int | None = None
    calib_samples: int = 512
    data_free: bool = False
    input_range: tuple[float, float] | None = None
    requantize: bool = False
    trust_pickle: bool = False
    seed: int = 0
    labels: tuple[str, ...] = ()
    preprocess: tuple[Step, ...] = ()
    postprocess: tuple[Step, ...] = ()
