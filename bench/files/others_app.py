"""Builds the edges and hyperedges of a file of neutral lines with DuckDB or Polars, in
an environment of its own.

Imports nothing of Freshet. A fact counts once, at its earliest time; an edge has its
decayed weight, facts, sessions, first and last time; a hyperedge the 50 earliest items
of a session of at least two. Queries are taken as they are: those of the file are
normalised.
"""

import json
import resource
import sys
from pathlib import Path

_FIELDS = ("type", "query", "session_id", "user_id", "item_id")


def build_with_duckdb(path: str, target: Path, half_life_ms: float) -> tuple[int, int]:
    """Return how many edges and hyperedges there are, in a database on disk."""
    import duckdb

    file = target.with_suffix(".db")
    file.unlink(missing_ok=True)
    columns = ", ".join(["ts_ms: 'BIGINT'", *(f"{name}: 'VARCHAR'" for name in _FIELDS)])
    with duckdb.connect(str(file)) as database:
        database.execute(
            # The path and the fields are the measurement's own.
            f"""create temp table facts as
            select session_id, query, item_id, type, min(ts_ms) as ts_ms
            from read_json('{path}', format = 'newline_delimited', columns = {{{columns}}})
            group by all"""  # noqa: S608
        )
        database.execute(
            f"""create table edges as
            select query, item_id, count(*) as facts, count(distinct session_id) as sessions,
              min(ts_ms) as first_ms, max(ts_ms) as last_ms,
              sum(pow(2, (ts_ms - (select max(ts_ms) from facts)) / {half_life_ms})
                * case type when 'purchase' then 4 when 'add-to-cart' then 2 else 1 end) as weight
            from facts where query is not null and type <> 'view' group by query, item_id"""  # noqa: S608
        )
        database.execute(
            """create table hyperedges as
            select session_id, (list(item_id order by ts_ms, item_id))[:50] as items
            from (select session_id, item_id, min(ts_ms) as ts_ms from facts group by all)
            group by session_id having count(*) >= 2"""
        )
        database.execute("checkpoint")
        counted = "select (select count(*) from edges), (select count(*) from hyperedges)"
        edges, hyperedges = database.execute(counted).fetchone()
    return edges, hyperedges


def build_with_polars(path: str, target: Path, half_life_ms: float) -> tuple[int, int]:
    """Return how many edges and hyperedges there are, in Parquet files."""
    import polars as pl

    schema = {"ts_ms": pl.Int64} | dict.fromkeys(_FIELDS, pl.String)
    ts_ms = pl.col("ts_ms")
    facts = (
        pl.scan_ndjson(path, schema=schema)
        .group_by("session_id", "query", "item_id", "type")
        .agg(ts_ms.min())
        .collect()
    )
    decayed = 2.0 ** ((ts_ms - facts["ts_ms"].max()) / half_life_ms)
    worth = pl.col("type").replace_strict(
        {"purchase": 4.0, "add-to-cart": 2.0}, default=1.0, return_dtype=pl.Float64
    )
    edges = (
        facts.lazy()
        .filter(pl.col("query").is_not_null() & (pl.col("type") != "view"))
        .group_by("query", "item_id")
        .agg(
            pl.len().alias("facts"),
            pl.col("session_id").n_unique().alias("sessions"),
            ts_ms.min().alias("first_ms"),
            ts_ms.max().alias("last_ms"),
            (decayed * worth).sum().alias("weight"),
        )
        .collect()
    )
    edges.write_parquet(target.with_suffix(".edges"))
    hyperedges = (
        facts.lazy()
        .group_by("session_id", "item_id")
        .agg(ts_ms.min())
        .sort("session_id", "ts_ms", "item_id")
        .group_by("session_id", maintain_order=True)
        .agg(pl.col("item_id").head(50), pl.len().alias("size"))
        .filter(pl.col("size") > 1)
        .collect()
    )
    hyperedges.write_parquet(target.with_suffix(".hyperedges"))
    return len(edges), len(hyperedges)


_BUILDERS = {"duckdb": build_with_duckdb, "polars": build_with_polars}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    engine, path, target, half_life_ms = sys.argv[1:]
    __import__(engine)  # not measured: Freshet's imports are not, either
    began = _cpu_seconds()
    counts = _BUILDERS[engine](path, Path(target), float(half_life_ms))
    print("done " + json.dumps({"counts": counts, "cpu_seconds": _cpu_seconds() - began}))
