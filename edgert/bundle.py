"""The .edge file: what it holds and how it is written and read safely (docs/bundle.md).

A zip with deterministic bytes: `manifest.json`, `variants/<id>/...`, `golden.npz`, `report.json`. The manifest lists
the SHA-256 and size of every other file; a file is hashed before it is parsed. Nothing in it is executed or pickled.
A signature covers the raw bytes of the manifest, and is checked before the manifest is parsed (docs/signing.md).
"""

from __future__ import annotations

import enum
import hashlib
import io
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgert.codec import CodecError, JsonValue, from_plain, parse_json, to_plain
from edgert.dtypes import DType
from edgert.errors import BundleError, OutputError, did_you_mean
from edgert.quant import QuantParams

if TYPE_CHECKING:  # a tenth of the budget of `import edgert`, for those who check nothing
    from edgert.signature import Signer, TrustPolicy

__all__ = [
    "SCHEMA",
    "Bundle",
    "FileEntry",
    "Gate",
    "LayerRecord",
    "Manifest",
    "Source",
    "Step",
    "TensorSpec",
    "Variant",
    "load_npz",
    "replace_atomically",
    "write_bundle",
    "write_signed_bundle",
]

SCHEMA = 1
MAX_FILE_BYTES = 4 << 30
MAX_FILES = 4096
MAX_MANIFEST_BYTES = 64 << 20
MAX_SIGNATURE_BYTES = 64 << 10
MAX_RELEASE = (1 << 63) - 1
_MANIFEST = "manifest.json"
_SIGNATURE = "manifest.json.sig"
_GOLDEN = "golden.npz"
_REPORT = "report.json"
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)

Step = dict[str, JsonValue]
"""One pre- or post-processing step as data: {"op": NAME, ...arguments}; see edgert.runtime.preprocess/postprocess."""


class Gate(enum.Enum):
    """Outcome of the accuracy gate; NONE: nothing to decide (the reference itself, or no data at all: unverified)."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of the model; an axis that may vary is None. `quant` is set where the tensor is integer."""

    name: str
    shape: tuple[int | None, ...]
    dtype: DType
    layout: str | None = None
    quant: QuantParams | None = None


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What one operator costs, for one sample: the row that reports, cost models and planners read."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    dtype: DType
    macs: int
    weight_bytes: int
    activation_bytes: int
    attributes: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """SHA-256 (hex) and size of one file of the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of the model that some engine can run; `path` is its main file inside the bundle."""

    id: str
    format: str
    precision: str
    path: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[LayerRecord, ...]
    peak_activation_bytes: int
    gate: Gate = Gate.NONE
    requantize: str | None = None
    encoding: DType | None = None
    targets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """The file the bundle was made from."""

    name: str
    format: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parsed manifest.json. `default_variant` is what `run` takes when nobody chooses.

    `release` orders versions that were signed one after another; None where nobody signed it.
    """

    schema: int
    name: str
    edgert_version: str
    source: Source
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    variants: tuple[Variant, ...]
    default_variant: str
    preprocess: tuple[Step, ...] = ()
    postprocess: tuple[Step, ...] = ()
    labels: tuple[str, ...] = ()
    files: dict[str, FileEntry] = field(default_factory=dict)
    release: int | None = None

    def __post_init__(self) -> None:
        ids = [variant.id for variant in self.variants]
        if len(set(ids)) != len(ids):
            raise ValueError(f"two variants share an id: {sorted(ids)}")
        if self.default_variant not in ids:
            raise ValueError(f"default_variant {self.default_variant!r} is not among the variants {ids}")
        if self.release is not None and not 0 <= self.release <= MAX_RELEASE:
            raise ValueError(f"release {self.release} is not between 0 and {MAX_RELEASE}")

    def variant(self, variant_id: str | None = None) -> Variant:
        """Returns the variant of that id, or the default one.

        Raises:
            BundleError: there is no such variant.
        """
        wanted = variant_id or self.default_variant
        for variant in self.variants:
            if variant.id == wanted:
                return variant
        hint = did_you_mean(wanted, [v.id for v in self.variants])
        raise BundleError(f"bundle {self.name!r} has no variant {wanted!r}{hint}")


class Bundle:
    """An open .edge file. Reading any file of it checks size and SHA-256 first.

    `signer` is None where nobody asked who signed it.
    """

    def __init__(
        self,
        path: Path,
        archive: zipfile.ZipFile,
        manifest: Manifest,
        manifest_bytes: bytes,
        signer: Signer | None = None,
    ) -> None:
        self.path = path
        self.signer = signer
        self.manifest = manifest
        self.manifest_bytes = manifest_bytes
        self.sha256 = hashlib.sha256(manifest_bytes).hexdigest()
        self._archive = archive

    @classmethod
    def open(cls, path: Path | str, trust: TrustPolicy | None = None) -> Bundle:
        """Opens and checks a bundle; files inside are checked when they are read.

        Args:
            path: the .edge file.
            trust: whose bundles are taken; the signature is checked before the manifest is parsed. None: anybody's.

        Raises:
            BundleError: not a bundle, damaged, unsafe names or sizes, or an unknown schema number.
            SignatureError: unsigned, tampered, or signed by somebody whom `trust` does not know.
            MissingToolError: `trust` is given and there is no ssh-keygen of OpenSSH 8.1 or newer.
        """
        path = Path(path)
        if path.is_dir():
            raise BundleError(f"{path}: is a folder, not a .edge file")
        try:
            archive = zipfile.ZipFile(path)
        except FileNotFoundError as error:
            raise BundleError(f"{path}: no such file") from error
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise BundleError(f"{path}: not a readable .edge file ({error})") from error
        try:
            _check_entries(path, archive)
            raw = _read_entry(path, archive, _MANIFEST, MAX_MANIFEST_BYTES)
            signer = trust(str(path), raw, _read_signature(path, archive)) if trust else None
            manifest = _parse_manifest(path, raw)
            _check_listing(path, archive, manifest)
        except BaseException:
            archive.close()
            raise
        return cls(path, archive, manifest, raw, signer)

    def read(self, name: str) -> bytes:
        """Returns the bytes of one file after checking them against the manifest.

        Raises:
            BundleError: the file is not listed, or its size or hash differs.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path}: no file {name!r} in the manifest")
        data = _read_entry(self.path, self._archive, name, entry.size_bytes)
        if len(data) != entry.size_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleError(f"{self.path}: {name!r} does not match its hash in the manifest; the bundle was damaged")
        return data

    def report(self) -> JsonValue:
        """Returns the parsed report.json (accuracy, per-layer errors, what was changed and why)."""
        if _REPORT not in self.manifest.files:
            return {}
        return _parse_json(self.path, _REPORT, self.read(_REPORT))

    def golden(self) -> dict[str, NDArray[np.generic]]:
        """Returns golden.npz: arrays `input/<name>` and `<variant>/<output name>`, leading axis = sample."""
        if _GOLDEN not in self.manifest.files:
            return {}
        return load_npz(self.read(_GOLDEN), f"{self.path}: {_GOLDEN}", BundleError)

    def close(self) -> None:
        """Closes the file."""
        self._archive.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_bundle(path: Path | str, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Writes a bundle: same manifest and files, same bytes. Replaces `path` only once everything is on disk.

    Args:
        path: where the bundle goes.
        manifest: its `files` table is filled in here from `files`.
        files: contents by name inside the bundle, without the manifest.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
        ValueError: a name would leave the bundle.
    """
    for name in files:
        problem = _name_problem(name)
        if problem:
            raise ValueError(f"file name {name!r} {problem}")
    listing = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in sorted(files.items())}
    plain = to_plain(manifest) | {"files": to_plain(listing)}
    return replace_atomically(Path(path), _pack({**files, _MANIFEST: _manifest_bytes(plain)}))


def write_signed_bundle(path: Path | str, output: Path | str, release: int, sign: Callable[[bytes], bytes]) -> Path:
    """Writes a bundle with a release number and a signature, in place of those it had; every file is checked first.

    Same bundle, number and signature, same bytes. `output` may be `path`, and is replaced once everything is on disk.

    Args:
        path: the bundle to sign.
        output: where the signed one goes.
        release: its place among releases, 0 to 2**63 - 1.
        sign: takes the raw bytes of the manifest and returns their signature.

    Raises:
        BundleError: the bundle is damaged; nothing is signed.
        OutputError: the file cannot be written; nothing is left behind.
        ValueError: the release number is out of range.
    """
    if not 0 <= release <= MAX_RELEASE:
        raise ValueError(f"release {release} is not between 0 and {MAX_RELEASE}")
    with Bundle.open(path) as bundle:
        contents = {name: bundle.read(name) for name in bundle.manifest.files}
        plain = parse_json(bundle.manifest_bytes)
    contents[_MANIFEST] = _manifest_bytes({**plain, "release": release})
    contents[_SIGNATURE] = sign(contents[_MANIFEST])
    return replace_atomically(Path(output), _pack(contents))


def _manifest_bytes(plain: JsonValue) -> bytes:
    return json.dumps(plain, indent=1, sort_keys=True).encode() + b"\n"


def _pack(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, _TIME_STAMP)
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, contents[name])
    return buffer.getvalue()


def replace_atomically(path: Path, data: bytes) -> Path:
    """Writes `data` to a temporary file beside `path`, then renames it over `path`.

    Raises:
        OutputError: it cannot be written; the temporary file is removed and `path` is as it was.
    """
    temporary: str | None = None
    try:
        if path.is_dir():
            raise IsADirectoryError("is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; nothing was left behind") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


def load_npz(data: bytes, where: str, error_type: type[Exception]) -> dict[str, NDArray[np.generic]]:
    """Returns the arrays of an .npz file; object arrays (pickles) are refused.

    Raises:
        Exception: `error_type`, when the bytes are not a readable npz.
    """
    try:
        if not zipfile.is_zipfile(io.BytesIO(data)):  # numpy would take it for a pickle and say how to load that
            raise zipfile.BadZipFile("not a zip archive")  # noqa: TRY301
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: _require_array(name, archive[name]) for name in archive.files}
    except Exception as error:  # numpy and zipfile raise a dozen types on damaged input; all mean the same here
        raise error_type(f"{where}: not a readable npz file ({error})") from error


def _require_array(name: str, value: object) -> NDArray[np.generic]:
    if not isinstance(value, np.ndarray):  # numpy gives the bytes of a member that does not start like an array
        raise TypeError(f"member {name!r} holds no array")
    return value


def _check_entries(path: Path, archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise BundleError(f"{path}: {len(entries)} files, at most {MAX_FILES} are allowed")
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise BundleError(f"{path}: the same file name stands twice in the archive")
    for entry in entries:
        problem = _name_problem(entry.filename)
        if problem:
            raise BundleError(f"{path}: file name {entry.filename!r} {problem}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 0x1:
            raise BundleError(f"{path}: {entry.filename!r} is compressed or encrypted; bundles store files as they are")
        if (entry.external_attr >> 16) & 0o170000 not in {0, 0o100000}:
            raise BundleError(f"{path}: {entry.filename!r} is a link or device, not a file")
        if entry.file_size > MAX_FILE_BYTES:
            raise BundleError(f"{path}: {entry.filename!r} is larger than {MAX_FILE_BYTES} bytes")


def _name_problem(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if not name or name.startswith("/") or "\\" in name or ":" in name or "\0" in name:
        return "is not a plain relative path"
    if ".." in parts or name.endswith("/") or "/".join(parts) != name:
        return "would leave the bundle's folder"
    return None


def _read_entry(path: Path, archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    try:
        if archive.getinfo(name).file_size > limit_bytes:
            raise BundleError(f"{path}: {name!r} is larger than the {limit_bytes} bytes allowed")
        return archive.read(name)
    except KeyError as error:
        raise BundleError(f"{path}: {name!r} is missing; this is not a complete .edge file") from error
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ) as error:
        raise BundleError(f"{path}: {name!r} cannot be read ({error}); the bundle was damaged") from error


def _read_signature(path: Path, archive: zipfile.ZipFile) -> bytes | None:
    if _SIGNATURE not in archive.namelist():
        return None
    return _read_entry(path, archive, _SIGNATURE, MAX_SIGNATURE_BYTES)


def _parse_json(path: Path, name: str, raw: bytes) -> JsonValue:
    try:
        return parse_json(raw)
    except ValueError as error:
        raise BundleError(f"{path}: {name} is not valid JSON ({error})") from error


def _parse_manifest(path: Path, raw: bytes) -> Manifest:
    data = _parse_json(path, _MANIFEST, raw)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise BundleError(f"{path}: manifest schema {schema!r}, this edgert reads schema {SCHEMA}; update edgert")
    try:
        return from_plain(Manifest, data)
    except CodecError as error:
        raise BundleError(f"{path}: {_MANIFEST} {error}") from error


def _check_listing(path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
    present = set(archive.namelist()) - {_MANIFEST, _SIGNATURE}
    if unlisted := present - set(manifest.files):
        raise BundleError(f"{path}: files that the manifest does not list: {sorted(unlisted)}")
    for variant in manifest.variants:
        if variant.path not in manifest.files:
            raise BundleError(
                f"{path}: variant {variant.id!r} names {variant.path!r}, which the manifest does not list"
            )
