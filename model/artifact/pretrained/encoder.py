"""A pretrained text encoder, opened from its installed package.

Two files of the package are read; none of its code runs, and nothing is downloaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

import numpy as np

from model.artifact.pretrained.encoders import AUTO, ENCODERS
from model.artifact.pretrained.pieces import WordPieces
from model.artifact.pretrained.weights import read_matrix
from model.errors import PretrainedTextUnusable
from protos.text import normal_form
from stream.dtypes import Float16s, Float32s

# Texts that are encoded in one go: some 20 MB of their pieces' rows. Twice as many take
# twice that, and no less time a text.
_BLOCK_TEXTS = 1024
# A sum shorter than this has no direction: pieces of trained weights are a million
# times as long. Twice as much changes nothing.
_SMALLEST_NORM = 1e-6


@dataclass(frozen=True, kw_only=True)
class EncoderIdentity:
    """Which encoder it is; generations record it.

    Attributes:
        name: in the table of encoders.
        version: of the package that holds it, for people.
        sha256: of its weights, then its tokenizer; what vectors depend on.
    """

    name: str
    version: str
    sha256: str


class PretrainedEncoder:
    """Encodes texts as the mean of their pieces' vectors.

    Immutable but for a cache of words, so any number of threads may share one.

    Args:
        identity: which one it is.
        pieces: cuts words.
        matrix: ``float16`` or ``float32 [num_pieces, dim]``.
    """

    def __init__(
        self, identity: EncoderIdentity, pieces: WordPieces, matrix: Float16s | Float32s
    ) -> None:
        if len(pieces) > len(matrix):
            raise PretrainedTextUnusable(
                f"the tokenizer of {identity.name} {identity.version} has {len(pieces)} pieces, "
                f"its weights {len(matrix)} rows; install its package again"
            )
        self.identity = identity
        self._pieces, self._matrix = pieces, matrix

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self._matrix.shape[1])

    def encode(self, texts: Sequence[str]) -> Float32s:
        """Return unit vectors ``float32 [num_texts, dim]``.

        Of each text's normal form, so that a query and a title in capitals are alike. A
        text without a word is zeros.
        """
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK_TEXTS):
            block = slice(start, start + _BLOCK_TEXTS)
            pieces = [self._pieces.of_words(normal_form(text).split()) for text in texts[block]]
            self._add_sums(vectors[block], pieces)
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
        vectors /= np.where(lengths < _SMALLEST_NORM, np.inf, lengths).astype(np.float32)
        return vectors

    def _add_sums(self, sums: Float32s, pieces: list[list[int]]) -> None:
        """Add the vectors of each text's pieces to its row; its mean has the same
        direction.
        """
        counts = np.array([len(each) for each in pieces], dtype=np.int64)
        flat = np.fromiter(chain.from_iterable(pieces), np.int64, int(counts.sum()))
        if len(flat):
            starts = (np.cumsum(counts) - counts)[counts > 0]
            rows = self._matrix[flat].astype(np.float32)
            sums[counts > 0] += np.add.reduceat(rows, starts, axis=0)


def chosen_encoder(name: str) -> str:
    """Return the encoder that a setting names; empty: none.

    Args:
        name: of the table, ``auto`` or ``off``.
    """
    if name == AUTO:
        return next((each for each in ENCODERS if _installed(each) is not None), "")
    return name if name in ENCODERS else ""


def block_dim(name: str, dim: int) -> int:
    """Return how much longer vectors become at most; 0: there is no encoder.

    Args:
        name: as for `chosen_encoder`.
        dim: what is wanted of one.
    """
    chosen = chosen_encoder(name)
    return min(dim, ENCODERS[chosen].dim) if chosen else 0


@lru_cache(maxsize=2)  # the one in use and the one it replaces, some 30 MB each
def open_encoder(name: str) -> PretrainedEncoder:
    """Return an encoder of the table; a process opens it once.

    Raises:
        PretrainedTextUnusable: its package is not installed, or its files are not what
            they should be; the message says what to do.
    """
    found, spec = _installed(name), ENCODERS.get(name)
    if found is None or spec is None:
        raise PretrainedTextUnusable(
            f"the text encoder {name!r} is not installed; install it with "
            "pip install 'freshet[text]', and start again"
        )
    weights, tokenizer = (
        Path(str(found.locate_file(path))) for path in (spec.weights, spec.tokenizer)
    )
    matrix = read_matrix(weights)
    if matrix.shape[1] != spec.dim:
        raise PretrainedTextUnusable(
            f"{weights} has vectors of {matrix.shape[1]} numbers, not {spec.dim}; "
            f"install the version of {spec.distribution} that constraints.txt names"
        )
    identity = EncoderIdentity(name=name, version=found.version, sha256=_sha256(weights, tokenizer))
    return PretrainedEncoder(identity, WordPieces(tokenizer), matrix)


def _installed(name: str) -> Distribution | None:
    spec = ENCODERS.get(name)
    if spec is None:
        return None
    try:
        return distribution(spec.distribution)
    except PackageNotFoundError:
        return None


def _sha256(*paths: Path) -> str:
    digest = sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
