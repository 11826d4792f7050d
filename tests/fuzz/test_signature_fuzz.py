"""Signed bundles with anything changed: nothing but the signed manifest ever reaches the parser."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from edgert import bundle as bundle_module
from edgert.bundle import Bundle
from edgert.errors import BundleError
from edgert.signature import SignatureError, TrustPolicy
from tests.fuzz import mutate
from tests.signature_example import NEEDS_SSH_KEYGEN, files_of, make_key, signed

SEED = int(os.environ.get("EDGERT_FUZZ_SEED", "1"))
COUNT = min(int(os.environ.get("EDGERT_FUZZ_COUNT", "100")), 200)  # a case starts two or three processes

pytestmark = NEEDS_SSH_KEYGEN


def changed(rng: random.Random, files: dict[str, bytes]) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:
        return mutate.mutate_bytes(rng, mutate.pack(files))
    if kind == 1:
        return mutate.pack({**files, "manifest.json": mutate.mutate_bytes(rng, files["manifest.json"])})
    if kind == 2:
        return mutate.pack({**files, "manifest.json.sig": mutate.mutate_bytes(rng, files["manifest.json.sig"])})
    if kind == 3:
        return mutate.pack(mutate.mutate_manifest(rng, files))
    name = rng.choice(sorted(files))
    return mutate.pack({**files, rng.choice(("manifest.json", "manifest.json.sig")): files[name]})


def test_only_the_signed_manifest_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = make_key(tmp_path)
    files = files_of(signed(tmp_path, keys))
    original = bundle_module._parse_json
    parsed: list[bytes] = []

    def record(path: Path, name: str, raw: bytes) -> object:
        parsed.append(raw)
        return original(path, name, raw)

    monkeypatch.setattr(bundle_module, "_parse_json", record)
    policy, case, counts = TrustPolicy(keys.allowed), tmp_path / "case.edge", Counter[str]()
    for number in range(COUNT):
        case.write_bytes(changed(random.Random(f"{SEED}/{number}"), files))
        try:
            with Bundle.open(case, policy) as opened:
                assert opened.signer is not None
                counts["opened"] += 1
        except (BundleError, SignatureError) as error:
            assert str(error).strip()
            counts[type(error).__name__] += 1
        assert set(parsed) <= {files["manifest.json"]}, number
    assert counts["SignatureError"] >= COUNT // 3, counts
    assert counts["BundleError"], counts
