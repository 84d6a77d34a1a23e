"""What earlier generations answered: the file `newest_clicks.json` of an artifacts
folder.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.live_quality.newest_clicks import Evaluation, Figure, Sample, Segment
from stream.files import read_plain, replace_file

logger = logging.getLogger(__name__)

NAME = "newest_clicks.json"
# Of the file's layout: one of another version is not read, and comparisons begin anew.
_VERSION = 1
# Evaluations that are kept, the newest: more than a day of generations at the default
# period of ten minutes. Twice as many are hardly ever looked back on.
_MOST_KEPT = 200
# Of the file: some 500 bytes an evaluation. Twice as much is no file of ours.
_MOST_BYTES = 1 << 20


def read_past(artifacts: Path) -> list[Evaluation]:
    """Return the evaluations of the file, oldest first; none where there is no file, or
    it cannot be understood, which is logged.
    """
    path = artifacts / NAME
    try:
        found = json.loads(read_plain(path, _MOST_BYTES))
        if found["version"] != _VERSION:
            raise ValueError(f"its version is {found['version']}, this code reads {_VERSION}")  # noqa: TRY301  # said below
        return [_read(each) for each in found["evaluations"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("past evaluations not read path=%s error=%s", path, error)
        return []


def with_newest(past: Sequence[Evaluation], newest: Evaluation) -> list[Evaluation]:
    """Return the evaluations with one more, oldest first.

    One of the same generation is replaced: the clicks that it looked at are among
    those of the later one, but for what has been sampled.
    """
    kept = [each for each in past if each.generation_id != newest.generation_id]
    return [*kept, newest][-_MOST_KEPT:]


def write_past(artifacts: Path, evaluations: Sequence[Evaluation]) -> None:
    """Put evaluations into the file, in place of what it held.

    Raises:
        OSError: it cannot be written.
    """
    content = {"version": _VERSION, "evaluations": [_written(each) for each in evaluations]}
    replace_file(artifacts / NAME, json.dumps(content).encode())


def _written(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "generation_id": evaluation.generation_id,
        "at_ms": evaluation.at_ms,
        "num_pairs": evaluation.num_pairs,
        "samples": [
            [segment, figure, sample.num, sample.total, sample.squares]
            for (segment, figure), sample in evaluation.samples.items()
        ],
    }


def _read(entry: Any) -> Evaluation:
    return Evaluation(
        generation_id=str(entry["generation_id"]),
        at_ms=int(entry["at_ms"]),
        num_pairs=int(entry["num_pairs"]),
        samples={
            (Segment(segment), Figure(figure)): Sample(int(num), float(total), float(squares))
            for segment, figure, num, total, squares in entry["samples"]
        },
    )
