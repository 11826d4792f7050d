"""Makes a TensorRT engine from an ONNX file: options, flags and the words of what went wrong.

Source: NVIDIA, TensorRT Python API 8.6 and 10.3. Types follow the file: TensorFloat-32 is switched off, 16-bit floats
are allowed where the variant has them or is quantized. From TensorRT 11 on, which has no such flags, the network is
strongly typed by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgert.bundle import Variant
from edgert.errors import EngineError, ModelError, UsageError
from edgert.runtime.engines.options import OptionTable, checked_options, one_line

__all__ = ["OPTIONS", "build_engine", "build_settings", "make_logger", "start"]

OPTIONS: OptionTable = {
    "float_precision": ("auto", ("auto", "fp32", "fp16"), "of float layers; auto: fp16 in fp16 and int8 variants"),
    "tf32": ("0", ("0", "1"), "whether fp32 layers may round to TensorFloat-32"),
    "dla_core": ("none", (), "number of a DLA core; what it cannot run falls back to the GPU and is reported"),
    "workspace_mb": ("512", (), "the most memory that a layer may use on the way"),
    "optimization_level": ("3", ("0", "1", "2", "3", "4", "5"), "how long the build looks for the best kernels"),
    "cache": ("1", ("0", "1"), "whether the built engine is kept on the device"),
    "external_data_folder": ("", (), "not used: a model with weights outside its file needs onnxruntime"),
}
"""Option -> (default, allowed values or () for any, meaning)."""

_NOT_BUILT = frozenset({"cache", "external_data_folder"})
"""Options that change nothing in an engine."""
_FLOAT_PRECISIONS = frozenset({"fp32", "as-is"})


def build_settings(given: Mapping[str, str], variant: Variant, model: bytes) -> dict[str, str]:
    """Returns all that shapes an engine besides the model, every choice made.

    Raises:
        UsageError: an unknown option or value.
    """
    settings = checked_options("tensorrt", OPTIONS, given)
    if not settings["workspace_mb"].isdigit():
        raise UsageError(f"tensorrt option workspace_mb is {settings['workspace_mb']!r}; write a number")
    if settings["dla_core"] != "none" and not settings["dla_core"].isdigit():
        raise UsageError(f"tensorrt option dla_core is {settings['dla_core']!r}; write a number, or none")
    quantized = b"QuantizeLinear" in model
    if settings["float_precision"] == "auto":
        is_float = variant.precision in _FLOAT_PRECISIONS and not quantized and settings["dla_core"] == "none"
        settings["float_precision"] = "fp32" if is_float else "fp16"
    if settings["dla_core"] != "none" and settings["float_precision"] == "fp32":
        raise UsageError(
            "tensorrt option float_precision is 'fp32', which no DLA computes; leave it away or write fp16"
        )
    kept = {name: value for name, value in settings.items() if name not in _NOT_BUILT}
    return {**kept, "int8": "1" if quantized else "0"}


def make_logger(trt: Any) -> Any:  # Any: the module tensorrt has no types
    """Returns a logger that keeps TensorRT's words as (severity, text) instead of printing them."""

    class Log(trt.ILogger):  # type: ignore[misc]  # a class of an untyped module
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: Any, text: str) -> None:  # Any: an enum of the module
            kind = str(severity.name)
            if kind != "VERBOSE":
                self.lines.append((kind, text))

        def errors(self) -> str:
            found = [text for kind, text in self.lines if kind in {"ERROR", "INTERNAL_ERROR"}]
            return one_line(Exception("; ".join(found[-3:]))) if found else "it gave no reason"

    return Log()


def start(make: Callable[[Any], Any], logger: Any) -> Any:
    """Returns a builder or runtime.

    Raises:
        EngineError: TensorRT does not start, for which its bindings have only a TypeError: no GPU, a driver that does
            not fit.
    """
    # Any: the module tensorrt has no types
    try:
        return make(logger)
    except TypeError as error:
        raise EngineError(f"tensorrt does not start on this device: {logger.errors()}") from error


def build_engine(trt: Any, model: bytes, variant_id: str, settings: Mapping[str, str], logger: Any) -> bytes:
    """Returns a serialized engine; takes seconds to minutes.

    Raises:
        ModelError: TensorRT cannot read the model or finds no way to run it.
        EngineError: the DLA core that was asked for is not there.
    """
    # Any: the module tensorrt has no types
    builder = start(trt.Builder, logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        reasons = "; ".join(str(parser.get_error(index).desc()) for index in range(min(3, parser.num_errors)))
        raise ModelError(f"tensorrt {trt.__version__} cannot read variant {variant_id!r}: {reasons or logger.errors()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(settings["workspace_mb"]) << 20)
    config.builder_optimization_level = int(settings["optimization_level"])
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _set_types(trt, config, settings)
    _set_dla(trt, builder, config, settings)
    _fix_batch(builder, network, config, variant_id)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelError(f"tensorrt {trt.__version__} cannot build variant {variant_id!r}: {logger.errors()}")
    return bytes(engine)


def _network_flags(trt: Any) -> int:  # Any: the module tensorrt has no types
    flag = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)  # needed by 8.6, without effect in 10
    return 0 if flag is None else 1 << int(flag)


def _set_types(trt: Any, config: Any, settings: Mapping[str, str]) -> None:  # Any: the module tensorrt has no types
    wanted = {"FP16": settings["float_precision"] == "fp16", "INT8": settings["int8"] == "1", "TF32": False}
    wanted["TF32"] = settings["tf32"] == "1"
    for name, is_set in wanted.items():
        flag = getattr(trt.BuilderFlag, name, None)
        if flag is not None:
            (config.set_flag if is_set else config.clear_flag)(flag)


def _set_dla(trt: Any, builder: Any, config: Any, settings: Mapping[str, str]) -> None:
    # Any: the module tensorrt has no types
    if settings["dla_core"] == "none":
        return
    core, there = int(settings["dla_core"]), int(builder.num_DLA_cores)
    if core >= there:
        raise EngineError(f"tensorrt option dla_core is {core}, and this device has {there} DLA cores")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _fix_batch(builder: Any, network: Any, config: Any, variant_id: str) -> None:
    """Engines are built for one sample at a time where the batch is free."""
    # Any: the module tensorrt has no types
    free = [network.get_input(index) for index in range(network.num_inputs)]
    free = [tensor for tensor in free if -1 in tuple(tensor.shape)]
    if not free:
        return
    profile = builder.create_optimization_profile()
    for tensor in free:
        first, *others = tuple(tensor.shape)
        if -1 in others:
            raise ModelError(
                f"variant {variant_id!r}: input {tensor.name!r} has no fixed size ({tuple(tensor.shape)}), and a "
                f"tensorrt engine is built for one; convert with --shape {tensor.name}=1,..."
            )
        shape = (1 if first == -1 else first, *others)
        profile.set_shape(tensor.name, shape, shape, shape)
    config.add_optimization_profile(profile)
