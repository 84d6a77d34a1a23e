"""The tables of PostgreSQL: a table of items a generation, and a view of the live one.

::

    freshet.generation   one row a generation: its table, dim, overlay segment, times
    freshet.items_N      its items: item_id, title, attributes, vector, segment
    freshet.deleted      ids of items that are no longer among those of a generation
    freshet.items        the view that readers ask: the items of the live generation

A generation is written in one transaction, which nobody sees, and made live in another
one, which replaces the view. Overlay segments change the live table in one transaction
each look. A reader's statement sees one state or the other, never a part of one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, LiteralString

import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from model.errors import SettingsInvalid, SinkRefused, SinkUnavailable
from model.sink.rows import ItemRow
from stream.dtypes import Float32s

VIEW: Final = "freshet.items"
INDEXES: Final = ("hnsw", "none")
"""How a table's vectors are indexed: pgvector's graph, or a scan of all."""

# Dimensions that pgvector indexes of type `vector`; its own limit.
_MOST_INDEXED_DIM = 2000
# Any number that no other program on the database takes: two sinks must not write at
# once.
_LOCK = 0x66726573
# Milliseconds that replacing the view may wait for a reader's transaction: new readers
# wait behind it. It is tried again at the next look. Twice as long: readers wait up to
# twice as long for somebody's long report.
_LOCK_MS = 500
_SCHEMA: Final[Sequence[LiteralString]] = (
    "CREATE SCHEMA IF NOT EXISTS freshet",
    """
    CREATE TABLE IF NOT EXISTS freshet.generation (
        generation text PRIMARY KEY,
        number bigint NOT NULL UNIQUE,
        dim integer NOT NULL,
        watermark_ms bigint NOT NULL,
        reflected_ms bigint NOT NULL,
        writer text NOT NULL,
        segment bigint NOT NULL,
        items bigint NOT NULL,
        is_live boolean NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS freshet.deleted (
        generation text REFERENCES freshet.generation ON DELETE CASCADE,
        item_id text,
        PRIMARY KEY (generation, item_id)
    )
    """,
)
_COLUMNS: Final = "item_id, title, attributes, vector, segment"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What the database has of a generation.

    Attributes:
        generation_id: which.
        number: of its table.
        writer: who wrote the overlay that is in it; empty: there is none.
        segment: the newest segment in it; 0: none.
        is_live: readers see it.
    """

    generation_id: str
    number: int
    writer: str
    segment: int
    is_live: bool


@dataclass(frozen=True, kw_only=True)
class Reflected:
    """How fresh a state is.

    Attributes:
        watermark_ms: event time up to which everything is reflected; 0: not known.
        reflected_ms: the same in broker time.
        writer: who wrote the overlay; empty: there is none.
        segment: its newest segment; 0: none.
    """

    watermark_ms: int
    reflected_ms: int
    writer: str
    segment: int


def check_connection(conninfo: str) -> None:
    """Refuse what no server can be found by, before anything waits for one.

    Args:
        conninfo: as of `SinkDatabase`.

    Raises:
        SettingsInvalid: it is no connection string. Nothing of it is shown: a password
            may be in it.
    """
    try:
        psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        raise SettingsInvalid(
            "--database is no connection string of libpq; write 'host=db dbname=shop', values "
            "with spaces in '...', or postgresql://db/shop with %20 for a space"
        ) from None


class SinkDatabase:
    """One connection to the database, as the only sink on it.

    Args:
        conninfo: a libpq connection string or URL; the rest comes from libpq's own
            environment and files.
        index: of `INDEXES`.

    Raises:
        SinkUnavailable: it cannot be reached.
        SinkRefused: it is another sink's, or without pgvector.
    """

    def __init__(self, conninfo: str, index: str) -> None:
        self._index = index
        with _errors_named():
            self._connection = psycopg.connect(conninfo, autocommit=True)
        try:
            self._open()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Leave the database as it is."""
        self._connection.close()

    def stored(self) -> list[Stored]:
        """Return the generations that are there, oldest table first."""
        with _errors_named():
            rows = self._connection.execute(
                "SELECT generation, number, writer, segment, is_live FROM freshet.generation "
                "ORDER BY number"
            ).fetchall()
        return [
            Stored(
                generation_id=row[0], number=row[1], writer=row[2], segment=row[3], is_live=row[4]
            )
            for row in rows
        ]

    def write_generation(
        self,
        generation_id: str,
        dim: int,
        rows: Iterable[ItemRow],
        absent: Sequence[str],
        reflected: Reflected,
    ) -> int:
        """Write a generation's table, in one transaction that no reader sees; return
        how many items it has.

        Args:
            generation_id: which.
            dim: length of its vectors.
            rows: its items.
            absent: ids of those that its overlay took away.
            reflected: how fresh they are.
        """
        if self._index == "hnsw" and dim > _MOST_INDEXED_DIM:
            raise SinkRefused(
                f"vectors of {dim} numbers cannot be indexed, pgvector takes {_MOST_INDEXED_DIM}; "
                "give --index none, or lower model.dim"
            )
        with _errors_named(), self._connection.transaction():
            run = self._connection
            (number,) = _one(
                run.execute("SELECT coalesce(max(number), 0) + 1 FROM freshet.generation")
            )
            table = _table(number)
            run.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
            run.execute(
                sql.SQL(
                    "CREATE TABLE {} (item_id text PRIMARY KEY, title text NOT NULL, "
                    "attributes jsonb NOT NULL, vector vector({}) NOT NULL, "
                    "segment bigint NOT NULL)"
                ).format(table, sql.Literal(dim))
            )
            count = self._copy(table, rows)
            self._make_index(number)
            run.execute(
                "INSERT INTO freshet.generation VALUES (%s, %s, %s, %s, %s, %s, %s, %s, false)",
                (
                    generation_id,
                    number,
                    dim,
                    reflected.watermark_ms,
                    reflected.reflected_ms,
                    reflected.writer,
                    reflected.segment,
                    count,
                ),
            )
            self._note_deleted(generation_id, absent)
        with _errors_named():
            run.execute(sql.SQL("ANALYZE {}").format(table))
        return count

    def make_live(self, generation_id: str) -> None:
        """Have the view show a generation that was written: for each statement of a
        reader the one before or this one.

        Raises:
            SinkUnavailable: a reader's transaction was in the way for too long; try
                again.
        """
        with _errors_named(), self._connection.transaction():
            run = self._connection
            run.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
            number, dim = _one(
                run.execute(
                    "SELECT number, dim FROM freshet.generation WHERE generation = %s",
                    (generation_id,),
                )
            )
            shown = run.execute("SELECT dim FROM freshet.generation WHERE is_live").fetchone()
            if shown is not None and shown[0] != dim:
                # Vectors of another length are another type, which a view cannot change
                # to: this once, a reader may find none.
                run.execute("DROP VIEW freshet.items")
            run.execute(
                sql.SQL(
                    "CREATE OR REPLACE VIEW freshet.items AS "
                    "SELECT {}, {}::text AS generation FROM {}"
                ).format(sql.SQL(_COLUMNS), sql.Literal(generation_id), _table(number))
            )
            run.execute(
                "UPDATE freshet.generation SET is_live = (generation = %s)", (generation_id,)
            )

    def num_items(self, generation_id: str) -> int:
        """Return how many items a generation has here."""
        with _errors_named():
            (count,) = _one(
                self._connection.execute(
                    "SELECT items FROM freshet.generation WHERE generation = %s", (generation_id,)
                )
            )
        return count

    def changed_items(self, stored: Stored) -> set[str]:
        """Return ids of items whose rows an overlay changed or deleted."""
        query = sql.SQL(
            "SELECT item_id FROM {} WHERE segment > 0 "
            "UNION ALL SELECT item_id FROM freshet.deleted WHERE generation = %s"
        ).format(_table(stored.number))
        with _errors_named():
            return {row[0] for row in self._connection.execute(query, (stored.generation_id,))}

    def change(
        self, stored: Stored, rows: Mapping[str, ItemRow | None], reflected: Reflected
    ) -> tuple[int, int]:
        """Change some items of a generation in one transaction; return how many were
        written and deleted.

        Args:
            stored: the generation.
            rows: by item id what is to be there; None: nothing.
            reflected: how fresh it is then.
        """
        table = _table(stored.number)
        written = [row for row in rows.values() if row is not None]
        absent = [item_id for item_id, row in rows.items() if row is None]
        with _errors_named(), self._connection.transaction():
            run = self._connection
            run.execute(sql.SQL("CREATE TEMP TABLE changed (LIKE {}) ON COMMIT DROP").format(table))
            self._copy(sql.Identifier("changed"), written)
            # Rows that were not there have no version that they replace.
            added = run.execute(
                sql.SQL(
                    "INSERT INTO {} SELECT * FROM changed ON CONFLICT (item_id) DO UPDATE SET "
                    "title = excluded.title, attributes = excluded.attributes, "
                    "vector = excluded.vector, segment = excluded.segment RETURNING xmax = 0"
                ).format(table)
            ).fetchall()
            deleted = run.execute(
                sql.SQL("DELETE FROM {} WHERE item_id = ANY(%s)").format(table),
                ([_plain(item_id) for item_id in absent],),
            ).rowcount
            run.execute(
                "DELETE FROM freshet.deleted WHERE generation = %s AND item_id = ANY(%s)",
                (stored.generation_id, [_plain(row.item_id) for row in written]),
            )
            self._note_deleted(stored.generation_id, absent)
            run.execute(
                sql.SQL(
                    "UPDATE freshet.generation SET watermark_ms = %s, reflected_ms = %s, "
                    "writer = %s, segment = %s, items = items + %s WHERE generation = %s"
                ),
                (
                    reflected.watermark_ms,
                    reflected.reflected_ms,
                    reflected.writer,
                    reflected.segment,
                    sum(is_new for (is_new,) in added) - deleted,
                    stored.generation_id,
                ),
            )
        return len(written), deleted

    def remove(self, stored: Stored) -> None:
        """Remove the table of a generation that is not live.

        Raises:
            SinkUnavailable: a reader's transaction still uses it; try again.
        """
        with _errors_named(), self._connection.transaction():
            run = self._connection
            run.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
            run.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_table(stored.number)))
            run.execute(
                "DELETE FROM freshet.generation WHERE generation = %s AND NOT is_live",
                (stored.generation_id,),
            )

    def _open(self) -> None:
        with _errors_named():
            (is_ours,) = _one(self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)))
            if not is_ours:
                raise SinkRefused(
                    "another sink writes to this database; end that one, or give another database"
                )
            self._make_extension()
            for statement in _SCHEMA:
                self._connection.execute(statement)

    def _make_extension(self) -> None:
        found = self._connection.execute(
            "SELECT 1 FROM pg_extension WHERE extname = 'vector'"
        ).fetchone()
        if found:
            return
        try:
            self._connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise SinkRefused(
                f"the database has no pgvector ({_first_line(error)}); install it on the server, "
                "and have an administrator run CREATE EXTENSION vector"
            ) from error

    def _note_deleted(self, generation_id: str, item_ids: Sequence[str]) -> None:
        self._connection.execute(
            "INSERT INTO freshet.deleted SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING",
            (generation_id, [_plain(item_id) for item_id in item_ids]),
        )

    def _make_index(self, number: int) -> None:
        if self._index == "none":
            return
        self._connection.execute(
            sql.SQL("CREATE INDEX ON {} USING hnsw (vector vector_ip_ops)").format(_table(number))
        )

    def _copy(self, table: sql.Composable, rows: Iterable[ItemRow]) -> int:
        count = 0
        with self._connection.cursor() as cursor:
            copied = sql.SQL("COPY {} ({}) FROM STDIN").format(table, sql.SQL(_COLUMNS))
            with cursor.copy(copied) as copy:
                for row in rows:
                    copy.write_row(
                        (
                            _plain(row.item_id),
                            _plain(row.title),
                            Jsonb({_plain(k): _plain(v) for k, v in row.attributes.items()}),
                            as_text(row.vector),
                            row.segment,
                        )
                    )
                    count += 1
        return count


def as_text(vector: Float32s) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(map(str, vector.astype(np.float32).tolist()))}]"


def _plain(text: str) -> str:
    """Return a text without NUL, which PostgreSQL cannot store."""
    return text.replace("\0", "")


def _table(number: int) -> sql.Identifier:
    return sql.Identifier("freshet", f"items_{number}")


def _one(cursor: "psycopg.Cursor[tuple[object, ...]]") -> tuple[int, ...]:
    row = cursor.fetchone()
    if row is None:
        raise SinkRefused("the tables of the schema freshet were changed by somebody else")
    return row  # type: ignore[return-value]


@contextmanager
def _errors_named() -> Iterator[None]:
    """Raise what goes wrong in the database as ours."""
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise SinkUnavailable(
            f"somebody's transaction keeps the view from being replaced ({_first_line(error)}): it "
            "is tried again; pg_stat_activity names it"
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise SinkUnavailable(
            f"the database does not answer ({_first_line(error)}); check address, password and "
            "server"
        ) from error
    except psycopg.Error as error:
        raise SinkRefused(
            f"the database refuses a statement ({_first_line(error)}); check rights and tables of "
            "the schema freshet"
        ) from error


def _first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
