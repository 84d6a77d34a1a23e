"""What it costs to load a generation and answer once: ``python -m bench serve
--loads``.

From the folder to the first answer, all checks included, each time in a process of its
own, as a server does that starts.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from model.artifact.store import ArtifactStore
from server.live import LiveGeneration
from server.overlay.view import LiveView
from server.retrieve import RetrievalQuery, retrieve
from server.settings import ServerSettings

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load.

    Attributes:
        cpu_seconds: of the process, imports left out.
        seconds: the same by the clock.
        resident_mib: memory that came with it, mapped files included.
    """

    cpu_seconds: float
    seconds: float
    resident_mib: float


def measure_loads(folder: Path, items: int, turns: int) -> None:
    """Load the newest generation of a folder so many times, and print medians as a line
    and as JSON.
    """
    loads = [_in_a_process(folder) for _ in range(turns)]
    path = _path(folder)
    size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) / _MIB
    cpu = sorted(load.cpu_seconds for load in loads)
    row = {
        "bench": "serve loads",
        "items": items,
        "loads": turns,
        "cpu_seconds": round(median(cpu), 3),
        "least_cpu_seconds": round(cpu[0], 3),
        "seconds": round(median(load.seconds for load in loads), 3),
        "resident_mib": round(median(load.resident_mib for load in loads)),
        "files_mib": round(size),
        "machine_load": round(os.getloadavg()[0], 1),
    }
    print(
        f"{row['items']:,} items, {row['files_mib']:,} MiB of files: loaded and asked once for "
        f"{row['cpu_seconds']} s of CPU (the least {row['least_cpu_seconds']}), in "
        f"{row['seconds']} s; {row['resident_mib']:,} MiB of memory; {turns} times, medians"
    )
    print(json.dumps(row))


def _in_a_process(folder: Path) -> Load:
    done = subprocess.run(
        [sys.executable, "-m", "bench.serving.loads", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        # As `freshet serve` sets it.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    return Load(**json.loads(done.stdout))


def _load_once(folder: Path) -> Load:
    path = _path(folder)
    before = _resident_mib()
    clock, cpu = time.perf_counter(), time.process_time()
    live = LiveGeneration.load(path, _settings())
    retrieve(LiveView.bare(live), RetrievalQuery(query="query 7", k=10)).hits()
    return Load(
        cpu_seconds=time.process_time() - cpu,
        seconds=time.perf_counter() - clock,
        resident_mib=_resident_mib() - before,
    )


def _path(folder: Path) -> Path:
    store = ArtifactStore(folder)
    return store.generation_path(store.current_id() or "")


def _settings() -> ServerSettings:
    """Return settings that take whatever recall the synthetic index has."""
    return ServerSettings(canary_floor=0.0)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


if __name__ == "__main__":
    print(json.dumps(asdict(_load_once(Path(sys.argv[1])))))
