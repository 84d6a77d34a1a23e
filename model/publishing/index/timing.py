"""What a search costs: ``python -m model.publishing.index.timing`` opens indexes in a
process of its own, as a server does, and times searches.

Training may run a matrix product in many threads, which wait for each other where
products are as small as these; a server runs it in one.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from model.artifact.arrays.load import load_array
from model.artifact.index.engine import load_engine
from model.artifact.index.indexed import IndexedVectors
from model.errors import ArtifactError
from stream.dtypes import Float32s

# A first page of results.
_K = 10
# Searches that are timed, of which the median counts: it is within 5 in 100 from run to
# run on a busy machine. Twice as many: twice the time, no better for a choice that a
# factor of two decides.
_SEARCHES = 100
# Fewer where so many plain scans would take longer than some 2 s: 100 up to 100,000
# items of 128 dimensions. Twice as many products take twice that.
_PRODUCTS = 100 * 100_000 * 128
# But never fewer: the median of so many is within 1 in 10.
_LEAST_SEARCHES = 15
# Searches before those, so that the file is mapped and caches are warm.
_WARM_UPS = 5
# Seconds, a hundred times what is expected: for whatever hangs. Twice as long would
# hold up a training that fails for twice as long.
_PATIENCE_SECONDS = 600.0
_LINES_OF_ERROR = 3


@dataclass(frozen=True, kw_only=True)
class Timed:
    """An index and how it is searched.

    Attributes:
        engine: the engine's name.
        path: the file.
        search_k: how wide a search is.
    """

    engine: str
    path: Path
    search_k: int


def time_searches(timed: Sequence[Timed], vectors: Float32s, questions: Float32s) -> list[float]:
    """Return the microseconds of CPU of a search for ten, for each of some indexes.

    Args:
        timed: the indexes; beside the first, the vectors lie in a file meanwhile.
        vectors: ``float32 [n, dim]``, what each is over.
        questions: ``float32 [num, dim]``, at least one.

    Raises:
        ArtifactError: the process that searches ended early.
        OSError: the vectors cannot be written.
    """
    searches = max(_LEAST_SEARCHES, min(_SEARCHES, _PRODUCTS // vectors.size))
    asked = questions[np.arange(searches + _WARM_UPS) % len(questions)]
    with NamedTemporaryFile(dir=timed[0].path.parent, suffix=".npy") as file:
        np.save(file, vectors)
        file.flush()
        task = {
            "indexes": [{**asdict(each), "path": str(each.path)} for each in timed],
            "vectors": file.name,
            "asked": asked.tolist(),
        }
        return _timed_apart(task)


def _timed_apart(task: Mapping[str, Any]) -> list[float]:
    """Return what a process of its own prints of a task."""
    # Read when NumPy is loaded; as `freshet serve` sets it.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name],
            input=json.dumps(task),
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_SECONDS,
        )
    except (subprocess.SubprocessError, OSError) as error:
        said = str(getattr(error, "stderr", "") or "").splitlines()[-_LINES_OF_ERROR:]
        raise ArtifactError(
            f"searches of {task['indexes'][0]['path']} cannot be timed: {error}; {' '.join(said)}"
        ) from error
    return [float(line) for line in done.stdout.split()]


def _main() -> None:
    task = json.load(sys.stdin)
    asked = np.array(task["asked"], dtype=np.float32)
    indexed = IndexedVectors(load_array(Path(task["vectors"])))
    for index in task["indexes"]:
        timed = Timed(**{**index, "path": Path(index["path"])})
        sys.stdout.write(f"{_median(timed, indexed, asked)}\n")


def _median(timed: Timed, indexed: IndexedVectors, asked: Float32s) -> float:
    engine = load_engine(timed.engine)
    index = engine.open(timed.path, indexed, timed.search_k)
    seconds = []
    for question in asked:
        started = time.thread_time()
        index.search(question, _K)
        seconds.append(time.thread_time() - started)
    return 1e6 * float(np.median(seconds[_WARM_UPS:]))


if __name__ == "__main__":
    _main()
