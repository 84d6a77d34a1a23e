"""One learner in a process of its own, so that its memory is its own.

It makes a step for each request.

Processes are forked from one that has imported torch, which takes seconds, and has not
used it.
"""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from model.settings import ModelSettings

LEARNERS = ("ours", "plain")
_STEP, _BANDWIDTH = "step", "bandwidth"
_COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}  # far over the caches of either
_COPIES = 5  # copies; the fastest counts, since others use the machine

Answer = dict[str, float]


class Child:
    """The other end of a learner's process."""

    def __init__(self, pipe: "Connection[str, Answer]") -> None:
        self._pipe = pipe

    def step(self) -> Answer:
        """Return the ``loss`` of one more step, its ``seconds``, and ``peak_bytes``
        since it was made.
        """
        return self._ask(_STEP)

    def bandwidth(self) -> float:
        """Return bytes a second, read and written, of the fastest large copy on the
        device.
        """
        return self._ask(_BANDWIDTH)["bytes_per_second"]

    def _ask(self, what: str) -> Answer:
        try:
            self._pipe.send(what)
            return self._pipe.recv()
        except (EOFError, OSError):
            raise SystemExit("a learner ended before it answered; see its error above") from None


@contextmanager
def open_child(learner: str, data: Path, settings: ModelSettings, device: str) -> Iterator[Child]:
    """Start a learner of `LEARNERS` on a training set that `save_set` wrote, and end it
    afterwards.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.train.plain_pyg"])
    here, there = context.Pipe()
    process = context.Process(target=_answer, args=(there, learner, data, settings, device))
    process.start()
    there.close()
    try:
        yield Child(here)
    finally:
        here.close()
        process.join()


def _answer(
    pipe: "Connection[Answer, str]", learner: str, path: Path, settings: ModelSettings, device: str
) -> None:
    """Make the learner, then answer until the other end is closed."""
    meter = _Meter(learner, path, settings, device)
    try:
        while True:
            pipe.send(meter.step() if pipe.recv() == _STEP else meter.bandwidth())
    except (EOFError, BrokenPipeError):
        return


class _Meter:
    """A learner with its clock and its memory."""

    def __init__(self, learner: str, path: Path, settings: ModelSettings, device: str) -> None:
        import torch

        from bench.train.graph import load_set
        from bench.train.plain_pyg import PlainLearner
        from model.training.step import Learner

        torch.set_num_threads(settings.num_threads or 1)
        torch.manual_seed(settings.seed)
        self._device, self._settings, self._steps = torch.device(device), settings, 0
        data = load_set(path)
        # Its first use imports torch's compiler, which is nobody's training.
        torch.optim.Adam([torch.zeros(1)])
        self._before_bytes = _memory("VmRSS") if device == "cpu" else 0
        makes = Learner if learner == "ours" else PlainLearner
        self._num_edges = len(data.train.edge_query)
        self._learner = makes(data, settings, self._device)

    def step(self) -> Answer:
        """See `Child`."""
        rng = np.random.default_rng([self._settings.seed, self._steps])
        batch = rng.choice(
            self._num_edges, min(self._settings.batch_size, self._num_edges), replace=False
        )
        began = self._now()
        loss = self._learner.step(batch)
        seconds = self._now() - began
        self._steps += 1
        return {"loss": loss, "seconds": seconds, "peak_bytes": self._peak_bytes()}

    def bandwidth(self) -> Answer:
        """See `Child`."""
        import torch

        size = _COPIED_BYTES[self._device.type]
        source = torch.ones(size // 4, device=self._device)
        target = torch.empty_like(source)
        seconds = []
        for _ in range(_COPIES):
            began = self._now()
            target.copy_(source)
            seconds.append(self._now() - began)
        return {"bytes_per_second": 2 * size / min(seconds)}

    def _now(self) -> float:
        """Return CPU seconds, which others on the machine do not add to.

        With a GPU seconds by the clock.
        """
        import torch

        if self._device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def _peak_bytes(self) -> float:
        import torch

        if self._device.type == "cpu":
            return _memory("VmHWM") - self._before_bytes
        return float(torch.cuda.max_memory_allocated())


def _memory(name: str) -> int:
    """Return a line of ``/proc/self/status`` in bytes (Linux).

    Not `getrusage`: the peak that it tells begins with the parent's.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
