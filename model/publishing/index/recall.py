"""Pure: how many of the exact nearest items an opened index finds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model.artifact.index.engine import VectorIndex
from stream.dtypes import Float32s

# Items that each question should find: a first page of results.
_K = 10
# Exact scores of a block: 16 MB. Twice as many take twice the memory and no less time.
_SCORES = 1 << 22
# Items whose cosines differ by less may stand in for each other: ten float32 steps
# near 1. Twice as much could hide a miss among near duplicates.
_EQUAL_SCORES = 1e-6


@dataclass(frozen=True, kw_only=True)
class ExactAnswers:
    """Questions, and what an exact scan answers.

    Attributes:
        vectors: ``float32 [n, dim]``, what is searched; row numbers are the ids.
        questions: ``float32 [num, dim]``.
        least: ``float32 [num]``, cosine of the last of the ten nearest to each.
    """

    vectors: Float32s
    questions: Float32s
    least: Float32s

    @property
    def k(self) -> int:
        """Items that each question should find."""
        return min(_K, len(self.vectors))

    @property
    def num_places(self) -> int:
        """How many items all questions together should find."""
        return self.k * len(self.questions)

    def recall(self, index: VectorIndex, most: int | None = None) -> float:
        """Return the share of the exact ten nearest that an index finds; 1 where there
        is nothing to find.

        Args:
            index: an index of `vectors`.
            most: most questions that are asked, evenly spread; None: all.
        """
        asked = np.arange(len(self.questions))
        asked = asked[:: -(-len(asked) // most) or 1] if most else asked
        if not self.k or not len(asked):
            return 1.0
        found = 0
        for question, least in zip(self.questions[asked], self.least[asked], strict=True):
            ids, _ = index.search(question, self.k)
            found += int((self.vectors[ids] @ question >= least - _EQUAL_SCORES).sum())
        return found / (self.k * len(asked))


def exact_answers(vectors: Float32s, questions: Float32s) -> ExactAnswers:
    """Ask an exact scan.

    Args:
        vectors: ``float32 [n, dim]``.
        questions: ``float32 [num, dim]``.
    """
    least = [np.zeros(0, dtype=np.float32)]
    k = min(_K, len(vectors))
    if k and len(questions):
        least += [np.partition(block, -k, axis=1)[:, -k] for block in _scores(vectors, questions)]
    found = np.concatenate(least) if k else np.zeros(len(questions), dtype=np.float32)
    return ExactAnswers(vectors=vectors, questions=questions, least=found)


def _scores(vectors: Float32s, questions: Float32s) -> Iterator[Float32s]:
    for block in np.array_split(questions, max(1, len(questions) * len(vectors) // _SCORES)):
        yield block @ vectors.T
