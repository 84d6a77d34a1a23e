"""The sink's loop: look at the artifacts folder, write what the database lacks."""

import logging
from collections.abc import Callable
from threading import Event

from model.errors import ModelError
from model.sink.database import Reflected, SinkDatabase, Stored
from model.sink.folder import FolderReader, FolderState
from model.sink.metrics import SinkMetrics

logger = logging.getLogger(__name__)


def run_sink(
    folder: FolderReader,
    connect: Callable[[], SinkDatabase],
    metrics: SinkMetrics,
    every_seconds: float,
    stop: Event,
) -> None:
    """Keep the database as fresh as the artifacts folder until `stop` is set.

    A look that fails is logged and counted, and the next one tries again, with a new
    connection.

    Args:
        folder: reads the artifacts.
        connect: opens the database.
        metrics: of the sink.
        every_seconds: time from one look to the next.
        stop: ends it.
    """
    database: SinkDatabase | None = None
    written: FolderState | None = None
    told = ""
    while not stop.is_set():
        try:
            database = database or connect()
            written = look(folder, database, metrics, written)
            told = ""
        except (ModelError, OSError) as error:
            reason = type(error).__name__
            metrics.failed(reason)
            if str(error) != told:
                logger.error("sink failed reason=%s error=%s", reason, error)  # noqa: TRY400  # the message has the reason
            told, written = str(error), None
            if database is not None:
                database.close()
            database = None
        stop.wait(every_seconds)
    if database is not None:
        database.close()


def look(
    folder: FolderReader,
    database: SinkDatabase,
    metrics: SinkMetrics,
    written: FolderState | None,
) -> FolderState | None:
    """Write what the database lacks of the live generation and its overlay; return what
    it has then.

    Args:
        folder: reads the artifacts.
        database: where it goes.
        metrics: of the sink.
        written: what this function returned last; None: the database may differ from
            all that is known.

    Raises:
        ModelError: the folder or the database cannot be used.
        OSError: the folder cannot be read.
    """
    state = folder.read()
    if state is None:
        return None
    generation, reflected = state.items.generation, _reflected(state)
    stored = {each.generation_id: each for each in database.stored()}
    held = stored.pop(generation.id, None)
    if held is None:
        changed = state.items.rows_of(state.items.changed())
        count = database.write_generation(
            generation.id,
            generation.manifest.dim,
            state.items.all_rows(),
            [item_id for item_id, row in changed.items() if row is None],
            reflected,
        )
        metrics.wrote_generation(count)
        logger.info("generation written generation=%s items=%d", generation.id, count)
    else:
        _change(database, held, state, written, metrics)
    if held is None or not held.is_live:
        database.make_live(generation.id)
        metrics.swapped()
        logger.info("generation live generation=%s", generation.id)
    items = database.num_items(generation.id)
    metrics.shows(items, reflected.segment, reflected.watermark_ms)
    if state.refusal is not None:
        raise state.refusal
    metrics.complete()
    for each in stored.values():
        database.remove(each)
    return state


def _change(
    database: SinkDatabase,
    held: Stored,
    state: FolderState,
    written: FolderState | None,
    metrics: SinkMetrics,
) -> None:
    """Write what changed since the last look, or, where that is not known, whatever an
    overlay may have changed.
    """
    items = state.items
    if written is None or written.items.generation is not items.generation:
        changed = items.changed() | database.changed_items(held)
    elif written.items.overlay is items.overlay:
        changed = set(written.items.gone.keys() ^ items.gone.keys())
    else:
        changed = items.changed() | written.items.changed()
    is_newer = written is None or _reflected(written) != _reflected(state)
    if changed or is_newer:
        metrics.changed(*database.change(held, items.rows_of(changed), _reflected(state)))


def _reflected(state: FolderState) -> Reflected:
    return Reflected(
        watermark_ms=state.watermark_ms,
        reflected_ms=state.reflected_ms,
        writer=state.writer,
        segment=state.items.sequence,
    )
