"""The state of a training, written to disk after its passes, so that one that was
killed resumes from there.

::

    ARTIFACTS/training/<key>/<passes>/
      state.json   counts, the state of the batch order, sha256 of each array
      *.npy        what steps change, and the best weights so far

The key is a hash of all that makes a training what it is. No torch: the tuner decides
with it before it loads any.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.array_file import write_array
from model.artifact.provenance import code_version
from model.ranking import Quality
from model.settings import ModelSettings
from stream.errors import PARSE_ERRORS
from stream.files import new_directory, sha256_of
from stream.graph.arrays import GraphArrays
from stream.graph.attributes import AttributeColumns

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]

# Of the state's layout: one of another version is ignored, and training restarts.
_FORMAT_VERSION = 1
_STATE_NAME = "state.json"
_LEARNER, _BEST = "learner.", "best."
# Settings that change how long a training takes and what is kept of it, not the model.
_NOT_THE_TRAININGS = frozenset(
    {
        "budget_seconds",
        "checkpoint_every_seconds",
        "evaluated_queries",
        "fresh_state",
        "keep_generations",
        "tune_every_seconds",
    }
)


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What the next pass depends on.

    Attributes:
        passes: passes done.
        steps: steps done.
        bad_passes: passes since validation last got better.
        seconds: spent so far.
        best: the best validation result; None: there is none.
        batch_order: state of the random generator that orders batches.
        learner: what `model.training.step.Learner.state` returns.
        best_weights: the network's weights behind `best`; empty where there is none.
    """

    passes: int
    steps: int
    bad_passes: int
    seconds: float
    best: Quality | None
    batch_order: Mapping[str, Any]
    learner: Arrays
    best_weights: Arrays

    def progress(self) -> dict[str, Any]:
        """Return all but the arrays, as JSON has it."""
        return {
            "passes": self.passes,
            "steps": self.steps,
            "bad_passes": self.bad_passes,
            "seconds": self.seconds,
            "best": asdict(self.best) if self.best else None,
            "batch_order": self.batch_order,
        }


def training_key(arrays: GraphArrays, settings: ModelSettings, parent: str) -> str:
    """Return 32 hex digits that differ wherever a training would.

    By graph, catalogue, settings or parent; not by attributes, which teach nothing.

    The time budget is not part of it: a training that ran out of its budget may resume
    under a larger one.
    """
    wanted = {
        name: value for name, value in asdict(settings).items() if name not in _NOT_THE_TRAININGS
    }
    head = {"code": code_version(), "format": _FORMAT_VERSION, "parent": parent, "settings": wanted}
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=16)
    for field in fields(arrays):
        value = getattr(arrays, field.name)
        if isinstance(value, AttributeColumns):
            continue
        digest.update(f"\0{field.name}\0".encode())
        if isinstance(value, np.ndarray):
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(json.dumps(value).encode())
    return digest.hexdigest()


class SavedTraining:
    """The place of one training's state.

    One process trains into an artifact folder at a time.

    Args:
        root: the folder of all such states; need not exist.
        key: of the training, from `training_key`.
        every_seconds: least time between two writes; 0: after every pass.
    """

    def __init__(self, root: Path, key: str, every_seconds: float) -> None:
        self._root = root
        self._folder = root / key
        self._every_seconds = every_seconds
        self._written = time.monotonic()

    def load(self, like: Arrays) -> TrainingState | None:
        """Return the newest state that is whole; what is not is removed with a warning.

        Args:
            like: arrays of a learner that begins; a state whose arrays have other names
                or shapes is foreign.
        """
        for path in sorted(self._folder.glob("[0-9]*"), reverse=True):
            try:
                state = _read(path)
                _check_shapes(state.learner, like)
            except (OSError, *PARSE_ERRORS, KeyError, TypeError) as error:
                logger.warning("training state ignored and removed path=%s error=%s", path, error)
                _remove(path)
            else:
                logger.info(
                    "training resumed passes=%d seconds=%.1f path=%s",
                    state.passes,
                    state.seconds,
                    path,
                )
                return state
        return None

    def is_due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written >= self._every_seconds

    def save(self, state: Callable[[], TrainingState]) -> None:
        """Write the state where it is time to.

        Where that fails, training continues with a warning.

        States before it, and those of other trainings, are removed: a training resumes
        from the last one only.
        """
        if not self.is_due():
            return
        try:
            self._write(state())
        except OSError as error:
            logger.warning("training state not written path=%s error=%s", self._folder, error)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Forget the training: it is over."""
        _remove(self._folder)
        with suppress(OSError):
            self._root.rmdir()

    def _write(self, state: TrainingState) -> None:
        with new_directory(self._folder / f"{state.passes:06}") as folder:
            _write(folder, state)
        kept = {self._folder, self._folder / f"{state.passes:06}"}
        for path in [*self._root.iterdir(), *self._folder.iterdir()]:
            if path not in kept:
                _remove(path)


def _write(folder: Path, state: TrainingState) -> None:
    arrays = {
        **{_LEARNER + name: array for name, array in state.learner.items()},
        **{_BEST + name: array for name, array in state.best_weights.items()},
    }
    sha256 = {}
    for name, array in arrays.items():
        with (folder / f"{name}.npy").open("wb") as out:
            write_array(out, array)
        sha256[name] = sha256_of(folder / f"{name}.npy")
    body = {
        "format_version": _FORMAT_VERSION,
        **state.progress(),
        "sha256": sha256,
    }
    text = json.dumps({"sha256": _sha256_of_json(body), "state": body}, indent=1)
    (folder / _STATE_NAME).write_text(text + "\n", encoding="utf-8")


def _read(folder: Path) -> TrainingState:
    """Read a state and check every byte of it.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: a file is not what was written.
        KeyError: it is another program's.
        TypeError: the same.
    """
    whole = json.loads((folder / _STATE_NAME).read_text(encoding="utf-8"))
    body = whole["state"]
    if whole["sha256"] != _sha256_of_json(body) or body["format_version"] != _FORMAT_VERSION:
        raise ValueError(f"{_STATE_NAME} is damaged, or of another format version")
    arrays = {
        name: _read_array(folder / f"{name}.npy", sha256) for name, sha256 in body["sha256"].items()
    }
    return TrainingState(
        passes=body["passes"],
        steps=body["steps"],
        bad_passes=body["bad_passes"],
        seconds=body["seconds"],
        best=Quality(**body["best"]) if body["best"] else None,
        batch_order=body["batch_order"],
        learner=_under(_LEARNER, arrays),
        best_weights=_under(_BEST, arrays),
    )


def _read_array(path: Path, sha256: str) -> NDArray[Any]:
    if sha256_of(path) != sha256:
        raise ValueError(f"{path.name} does not have the sha256 that {_STATE_NAME} gives")
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _check_shapes(arrays: Arrays, like: Arrays) -> None:
    found, wanted = ({name: array.shape for name, array in each.items()} for each in (arrays, like))
    if found != wanted:
        raise ValueError("it is of another network")


def _sha256_of_json(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
