"""The vectors that an index is over, where a generation has them anyway."""

from dataclasses import dataclass

from stream.dtypes import Float32s, Int64s


@dataclass(frozen=True)
class IndexedVectors:
    """Some rows of a matrix, by the ids of an index.

    Attributes:
        vectors: ``float32 [num_vectors, dim]``, unit rows.
        rows: ``int64 [n]``, which of them each id is, ascending; None: ids are rows.
    """

    vectors: Float32s
    rows: Int64s | None = None

    def __len__(self) -> int:
        return len(self.vectors) if self.rows is None else len(self.rows)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.vectors.shape[1])

    def rows_of(self, ids: Int64s) -> Int64s:
        """Return the rows of some ids."""
        return ids if self.rows is None else self.rows[ids]
