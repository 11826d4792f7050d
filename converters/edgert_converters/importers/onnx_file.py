"""Loads an ONNX file of unknown origin: parses it, takes in external data safely and checks opsets and operators.

Runs in the importer's child process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from edgert.errors import MissingExtraError, ModelError, did_you_mean
from edgert_converters.ops import OPERATORS
from edgert_converters.passes.output_check import first_line

if TYPE_CHECKING:
    import onnx

__all__ = ["MAX_OPSET", "MIN_OPSET", "WORKING_OPSET", "load_onnx"]

WORKING_OPSET = 18
"""Older models are lifted to this: the newest form of Pad, Split and Resize, and what exporters write by default."""
MAX_OPSET = 20
"""Newer models are lowered to this: what ONNX Runtime 1.17, the oldest engine edgert writes for, reads."""
MIN_OPSET = 7
"""The oldest that ONNX Runtime runs, so the oldest whose conversion can be checked."""

_STANDARD = ("", "ai.onnx")


def load_onnx(path: Path, shown: Path, announce_bytes: Callable[[int], None] | None = None) -> onnx.ModelProto:
    """Returns the parsed model with all its numbers in memory.

    Args:
        path: the file.
        shown: what messages call it.
        announce_bytes: told the size of all external data before any of it is read.

    Raises:
        ModelError: damaged, unsafe external data, unknown operators, or an opset out of range.
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "convert", "reading an ONNX file") from error
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path=shown) from error
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        raise ModelError(
            f"not a readable ONNX file ({first_line(error)}); it is damaged or cut off", path=shown
        ) from error
    if not proto.graph.node or not proto.graph.output:
        raise ModelError("holds no graph with nodes and outputs; it is damaged or not an ONNX model", path=shown)
    external = _find_external_data(proto, path, shown)
    if announce_bytes is not None:
        announce_bytes(sum(length for _, _, _, length in external))
    _read_external_data(external)
    _check_opsets(proto, shown)
    _check_operators(proto, shown)
    _check_structure(proto, shown)
    return proto


def _check_structure(proto: onnx.ModelProto, shown: Path) -> None:
    """Runs the ONNX checker, but lets inputs and outputs go without a shape, as engines do."""
    import onnx

    types = [value.type.tensor_type for value in (*proto.graph.input, *proto.graph.output)]
    shapeless = [kind for kind in types if not kind.HasField("shape")]
    for kind in shapeless:
        kind.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # ValidationError and RuntimeError alike
        raise ModelError(f"not a valid ONNX model ({first_line(error)})", path=shown) from error
    for kind in shapeless:
        kind.ClearField("shape")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    nodes = [node for function in proto.functions for node in function.node]
    for graph in _graphs(proto.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
        nodes.extend(graph.node)
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _find_external_data(
    proto: onnx.ModelProto, path: Path, shown: Path
) -> list[tuple[onnx.TensorProto, Path, int, int]]:
    """Returns each tensor whose numbers lie in another file of the model's folder, with file, offset and length."""
    import onnx

    found = []
    for tensor in _tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        facts = {entry.key: entry.value for entry in tensor.external_data}
        file = _external_file(facts.get("location", ""), tensor.name, path, shown)
        try:
            offset, size = int(facts.get("offset", "0")), file.stat().st_size
            length = int(facts.get("length", str(size - offset)))
        except ValueError as error:
            raise ModelError(f"tensor {tensor.name!r}: offset or length is not a number", path=shown) from error
        if offset < 0 or length < 0 or offset + length > size:
            raise ModelError(
                f"tensor {tensor.name!r} wants bytes {offset} to {offset + length} of {file.name!r}, "
                f"which has {size}; the weights file is cut off or belongs to another model",
                path=shown,
            )
        found.append((tensor, file, offset, length))
    return found


def _read_external_data(external: list[tuple[onnx.TensorProto, Path, int, int]]) -> None:
    """Copies numbers from other files into their tensors."""
    import onnx

    for tensor, file, offset, length in external:
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_file(location: str, tensor: str, path: Path, shown: Path) -> Path:
    parts = (*PurePosixPath(location).parts, *PureWindowsPath(location).parts)
    absolute = (
        PurePosixPath(location).is_absolute() or PureWindowsPath(location).drive or PureWindowsPath(location).root
    )
    if not location or "\0" in location or absolute or ".." in parts:
        raise ModelError(
            f"tensor {tensor!r} names external data {location!r}, which leaves the model's folder; that is refused "
            "because such a file could be anything on this computer; move the weights beside the model",
            path=shown,
        )
    folder, file = path.parent.resolve(), path.parent / location
    if not file.exists():
        raise ModelError(
            f"external data {location!r} (tensor {tensor!r}) is missing; put that file beside the model", path=shown
        )
    if not file.resolve().is_relative_to(folder) or file.is_symlink() or not file.is_file():
        raise ModelError(
            f"external data {location!r} (tensor {tensor!r}) is a link or leaves the model's folder; that is refused; "
            "put the file itself beside the model",
            path=shown,
        )
    return file


def _check_opsets(proto: onnx.ModelProto, shown: Path) -> None:
    import onnx.defs

    newest = onnx.defs.onnx_opset_version()
    versions = [entry.version for entry in proto.opset_import if entry.domain in _STANDARD]
    if not versions:
        raise ModelError("does not say which ONNX opset it uses; it is damaged", path=shown)
    if not MIN_OPSET <= versions[0] <= newest:
        raise ModelError(
            f"uses ONNX opset {versions[0]}; edgert reads {MIN_OPSET} to {newest}; export it again with opset "
            f"{WORKING_OPSET}",
            path=shown,
        )


def _check_operators(proto: onnx.ModelProto, shown: Path) -> None:
    """Names the first node whose operator is neither standard ONNX nor a function that the model itself brings."""
    import onnx.defs

    local = {(function.domain, function.name) for function in proto.functions}
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    nodes = [node for graph in _graphs(proto.graph) for node in graph.node]
    nodes += [node for function in proto.functions for node in function.node]
    for index, node in enumerate(nodes):
        if (node.domain, node.op_type) in local or (node.domain in _STANDARD and node.op_type in known):
            continue
        if node.op_type in OPERATORS and OPERATORS[node.op_type].domain == node.domain:
            continue
        name = node.name or f"#{index}"
        if node.domain in _STANDARD:
            text = f"unknown operator {node.op_type!r}{did_you_mean(node.op_type, known) if node.op_type else ''}"
            text = text if len(text) < 200 else f"unknown operator {node.op_type[:80]!r}"
        else:
            text = (
                f"operator {node.op_type!r} of the domain {node.domain!r} is not standard ONNX; export the model "
                "without custom or engine-specific operators"
            )
        raise ModelError(text, path=shown, node=name)
