"""`edgert run`: arrays through a bundle or model, in a worker process."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import TensorSpec, load_npz, replace_atomically
from edgert.codec import JsonValue, from_plain
from edgert.commands.console import Console
from edgert.commands.execution import add_execution_arguments, note_tuned, open_runner, parse_engine_options
from edgert.commands.sound import hear
from edgert.commands.tune import add_tune_arguments, execute_forget, execute_tune
from edgert.dtypes import DType
from edgert.errors import DataError, UsageError
from edgert.runtime.checks import describe_shape

__all__ = ["RunResult", "add_arguments", "execute", "run"]

Array = NDArray[Any]  # Any: element types are data
_PREVIEW = 8
_JSON_VALUES = 1000


@dataclass(frozen=True, slots=True)
class RunResult:
    """Outputs by name, and what ran them."""

    outputs: dict[str, Array]
    variant: str
    facts: dict[str, JsonValue]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert run`."""
    parser.add_argument("model", type=Path, metavar="BUNDLE", help="a .edge bundle or a plain .onnx or .tflite file")
    parser.add_argument(
        "--input",
        type=Path,
        metavar="X.npy|X.npz|X.wav",
        help="one array, arrays by input name, or sound for a bundle's audio front end (not with --tune)",
    )
    parser.add_argument("--output", type=Path, metavar="Y.npz", help="write the outputs here")
    parser.add_argument("--quantized", action="store_true", help="feed and return the variant's own integers")
    parser.add_argument("--batch-size", type=int, metavar="N", help="run the leading axis in batches of N samples")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="seconds (default: %(default)s)")
    add_execution_arguments(parser)
    add_tune_arguments(parser)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    if arguments.tune:
        return execute_tune(arguments, console)
    if arguments.forget:
        return execute_forget(arguments, console)
    if arguments.input is None:
        raise UsageError("give the arrays to run on with --input X.npy (or --tune, which needs none)")
    if arguments.seconds is not None or arguments.eval is not None or arguments.shape:
        raise UsageError("--seconds, --eval and --shape belong to --tune")
    is_sound = arguments.input.suffix.lower() == ".wav"
    result = run(
        arguments.model,
        hear(arguments.input, arguments.model) if is_sound else load_arrays(arguments.input),
        variant=arguments.variant,
        device=arguments.device,
        threads=arguments.threads,
        engine=arguments.engine,
        options=parse_engine_options(arguments.engine_options),
        quantized=arguments.quantized,
        batch_size=arguments.batch_size,
        timeout_s=arguments.timeout,
        tuned=not arguments.untuned,
    )
    note_tuned(result.facts, console)
    if arguments.output is not None:
        buffer = io.BytesIO()
        np.savez(buffer, **result.outputs)  # type: ignore[arg-type]  # output names are no keyword of savez
        replace_atomically(arguments.output, buffer.getvalue())
        console.note(f"wrote {arguments.output}")
    console.result(_plain(result, arguments), _text(result))
    return 0


def run(  # noqa: PLR0913  # one keyword per flag of the verb
    model: Path | str,
    arrays: Mapping[str, Array],
    *,
    variant: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
    options: Mapping[str, str] | None = None,
    quantized: bool = False,
    batch_size: int | None = None,
    timeout_s: float = 600.0,
    tuned: bool = True,
) -> RunResult:
    """Runs arrays through a model on a device, in a process of its own, and returns the outputs.

    `arrays` are by input name; one array of any name is the only input of a model. Samples beyond a model's fixed
    batch are run one batch after the other. Where variant, engine and options are left open, what `edgert run --tune`
    stored on the device counts, unless `tuned` is False. In-process use is `edgert.load(model).run(...)`.

    Raises:
        DataError: an array does not fit.
        UsageError: an argument is out of range, or there is no such device or engine.
        ModelError: the model is damaged, or crashed the engine while it was loaded.
        EngineError: the engine is missing, or crashed while running.
    """
    if not timeout_s > 0:
        raise UsageError(f"--timeout is {timeout_s:g}; it must be above 0 seconds")
    with open_runner(device) as worker:
        loaded = worker.load(
            Path(model),
            variant=variant,
            threads=threads,
            engine=engine,
            options=options,
            tuned=tuned,
            timeout_s=timeout_s,
        )
        specs = [from_plain(TensorSpec, entry) for entry in loaded["inputs"]]
        feeds = _as_samples(_match_names(arrays, specs), specs)
        size = batch_size if batch_size is not None else _needed_batch(feeds, specs)
        outputs = worker.run(feeds, quantized=quantized, batch_size=size, timeout_s=timeout_s)
        return RunResult(outputs, str(loaded["variant"]), loaded["facts"])


def load_arrays(path: Path) -> dict[str, Array]:
    """Returns the arrays of an .npy file (under the name ``x``) or an .npz file.

    Raises:
        DataError: the file cannot be read as such.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if path.suffix == ".npz":
        return dict(load_npz(data, str(path), DataError))
    try:
        return {"x": np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)}
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy file ({error}); give an .npy or .npz file") from error


def _match_names(arrays: Mapping[str, Array], specs: list[TensorSpec]) -> dict[str, Array]:
    names = [spec.name for spec in specs]
    if all(name in arrays for name in names):
        return {name: arrays[name] for name in names}  # other arrays of the file, labels for example, stay out
    if len(names) == 1 and (len(arrays) == 1 or "x" in arrays):
        return {names[0]: arrays["x"] if "x" in arrays else next(iter(arrays.values()))}
    wanted = ", ".join(f"{spec.name!r} {spec.dtype.value} {describe_shape(spec.shape)}" for spec in specs)
    raise DataError(f"the input file holds {', '.join(map(repr, arrays))}; the model needs {wanted}")


def _as_samples(feeds: Mapping[str, Array], specs: list[TensorSpec]) -> dict[str, Array]:
    """Arrays of N inputs that each have the model's own batch axis of 1, [N, 1, ...], become N samples, [N, ...]."""
    return {spec.name: _without_inner_batch(spec, feeds[spec.name]) for spec in specs}


def _without_inner_batch(spec: TensorSpec, array: Array) -> Array:
    stacked = array.ndim == len(spec.shape) + 1 and array.ndim > 1 and array.shape[1] == 1
    return array[:, 0] if stacked and spec.shape and spec.shape[0] in {None, 1} else array


def _needed_batch(feeds: Mapping[str, Array], specs: list[TensorSpec]) -> int | None:
    """The model's fixed batch, when the arrays hold another number of samples."""
    for spec in specs:
        fixed = spec.shape[0] if spec.shape else None
        shape = feeds[spec.name].shape
        if fixed is not None and len(shape) == len(spec.shape) and shape[0] != fixed:
            return fixed
    return None


def _plain(result: RunResult, arguments: argparse.Namespace) -> JsonValue:
    return {
        "variant": result.variant,
        "output": None if arguments.output is None else str(arguments.output),
        "outputs": [
            {
                "name": name,
                "shape": list(array.shape),
                "dtype": DType.from_numpy(array.dtype).value,
                "values": array.tolist() if array.size <= _JSON_VALUES and np.isfinite(array).all() else None,
            }
            for name, array in result.outputs.items()
        ],
        "facts": result.facts,
    }


def _text(result: RunResult) -> str:
    lines = [f"variant {result.variant} on {result.facts['engine']} {result.facts['version']}"]
    for name, array in result.outputs.items():
        flat = array.reshape(-1)
        preview = ", ".join(f"{value:.6g}" for value in flat[:_PREVIEW].tolist())
        more = ", ..." if flat.size > _PREVIEW else ""
        lines.append(f"{name} {DType.from_numpy(array.dtype).value} {describe_shape(array.shape)}: {preview}{more}")
    return "\n".join(lines)
