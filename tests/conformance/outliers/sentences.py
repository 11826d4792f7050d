"""A sentence encoder of MiniLM's class, its WordPiece tokens, and real sentences: those of the documentation.

EDGERT_MINILM names a folder with one .onnx file (inputs `input_ids` and `attention_mask`, the first output of two axes
being the embedding) and a `tokenizer.json` or `vocab.txt`. Nothing is fetched.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from edgert_converters.importers.normalise import normalise
from tests.conformance.outliers.block import Inputs

LENGTH = 32
VARIABLE = "EDGERT_MINILM"
_ROOT = Path(__file__).parents[3]
_PIECE = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """The clean graph for one sentence of 32 tokens, and the vocabulary."""

    model: ir.Model
    output: str
    vocabulary: Mapping[str, int]

    def inputs(self, sentence: str) -> Inputs:
        """What the encoder reads of a sentence: int64[1, 32] each; longer ones are cut."""
        body = [piece for word in _words(sentence) for piece in self._pieces(word)][: LENGTH - 2]
        ids = [self.vocabulary["[CLS]"], *body, self.vocabulary["[SEP]"]]
        row, mask = np.zeros((1, LENGTH), np.int64), np.zeros((1, LENGTH), np.int64)
        row[0, : len(ids)], mask[0, : len(ids)] = ids, 1
        given = {"input_ids": row, "attention_mask": mask, "token_type_ids": np.zeros_like(row)}
        return {str(port.name): given[str(port.name)] for port in self.model.graph.inputs}

    def _pieces(self, word: str) -> Iterator[int]:
        """WordPiece: the longest known start, then the longest known continuations."""
        start, found = 0, []
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if prefix + word[start:e] in self.vocabulary), None)
            if end is None:
                return iter([self.vocabulary["[UNK]"]])
            found.append(self.vocabulary[prefix + word[start:end]])
            start = end
        return iter(found)


def find_encoder() -> Path | None:
    """The folder that EDGERT_MINILM names, where it holds a model."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named and list(Path(named).glob("*.onnx")) else None


@cache
def load_encoder(folder: Path) -> SentenceEncoder:
    """The encoder in a folder, its shapes fixed to one sentence."""
    (path,) = folder.glob("*.onnx")
    proto = onnx.load(path)
    ports = {port.name: (1, LENGTH) for port in proto.graph.input}
    clean = ir.from_proto(onnx.load_from_string(normalise(proto, ports, path).serialized))
    embeddings = [v for v in clean.graph.outputs if v.shape is not None and len(v.shape) == 2 and v.shape[1] != LENGTH]
    return SentenceEncoder(clean, str(embeddings[0].name), _vocabulary(folder))


def sentences() -> tuple[str, ...]:
    """Sentences of the licence and the documentation, in one fixed random order."""
    pages = [_ROOT / "LICENSE", _ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
    found: dict[str, None] = {}
    for page in pages:
        prose = re.sub(r"[`*#|]", " ", page.read_text())
        for sentence in re.split(r"(?<=[.!?])\s+", prose):
            words = sentence.split()
            if 8 <= len(words) <= 30 and sum(word.isalpha() for word in words) > 0.7 * len(words):
                found[" ".join(words)] = None
    order = np.random.default_rng(4).permutation(len(found))
    every = list(found)
    return tuple(every[i] for i in order)


def _vocabulary(folder: Path) -> Mapping[str, int]:
    if (folder / "tokenizer.json").is_file():
        vocabulary: Mapping[str, int] = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        return vocabulary
    return {word: i for i, word in enumerate((folder / "vocab.txt").read_text().splitlines())}


def _words(sentence: str) -> list[str]:
    plain = unicodedata.normalize("NFD", sentence.lower())
    return _PIECE.findall("".join(c for c in plain if unicodedata.category(c) != "Mn"))
