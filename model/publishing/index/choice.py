"""Builds the index of a generation, with the engine and the setting that find enough at
the least cost.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.artifact.index.engine import Engine, load_engine
from model.artifact.index.engines import candidates
from model.artifact.index.indexed import IndexedVectors
from model.publishing.index.questions import Kind
from model.publishing.index.recall import ExactAnswers, exact_answers
from model.publishing.index.timing import Timed, time_searches
from model.settings import ModelSettings
from protos import manifest_v1_pb2 as manifest_pb
from stream.dtypes import Float32s

logger = logging.getLogger(__name__)

# A less simple engine must cost less than this share of a simpler one: so the noise of
# timing, up to a tenth, changes the choice in few catalogues only, and little depends
# on it there. At 1 two trainings on one log would often choose differently.
_WORTH_IT = 0.5
# Products of the scans that show that what examines everything finds everything: a
# second. Twice as many take twice that.
_SCANNED_PRODUCTS = 2_000_000_000
_LEAST_SCANS = 20
# Settings that are tried between the narrowest that an engine proposes and finds enough
# and the one before, each in the middle of what is left: within an eighth of the least,
# where engines propose half as much again. One more: within a sixteenth.
_HALVINGS = 2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An engine and a setting that were measured.

    Attributes:
        engine: the engine's name.
        search_k: how wide a search was.
        recalls: share of the exact ten nearest that it found, by kind of question.
        cpu_microseconds: of a search for ten; 0: not measured.
    """

    engine: str
    search_k: int
    recalls: Mapping[Kind, float]
    cpu_microseconds: float = 0.0

    @property
    def recall(self) -> float:
        """The least recall of any kind; 1 where nothing was asked."""
        return min(self.recalls.values(), default=1.0)


@dataclass(frozen=True, kw_only=True)
class ChosenIndex:
    """The index that was built.

    Attributes:
        trial: what it is, and what it finds.
        trials: all that were measured, this one among them.
        first_page_cosine: median, over texts that nobody searched for, of the cosine
            of the last item of their first page; 0: nothing was asked.
    """

    trial: Trial
    trials: tuple[Trial, ...]
    first_page_cosine: float

    @property
    def figures(self) -> dict[str, float]:
        """Figures for the manifest's ``evaluation``."""
        by_kind = {f"index_recall_10_{kind}": recall for kind, recall in self.trial.recalls.items()}
        return {"index_recall_10": self.trial.recall, **by_kind}

    def manifest(self) -> manifest_pb.Index:
        """Return what a server searches with, and why."""
        return manifest_pb.Index(
            engine=self.trial.engine,
            search_k=self.trial.search_k,
            trials=[
                manifest_pb.IndexTrial(
                    engine=trial.engine,
                    search_k=trial.search_k,
                    recall_10={str(kind): recall for kind, recall in trial.recalls.items()},
                    cpu_microseconds=trial.cpu_microseconds,
                )
                for trial in self.trials
            ],
        )


def build_index(
    vectors: Float32s, questions: Mapping[Kind, Float32s], folder: Path, settings: ModelSettings
) -> ChosenIndex:
    """Write the index file of the engine that finds enough at the least cost.

    Recall decides how wide an engine searches, and is the same each time; time decides
    only between engines.

    Args:
        vectors: ``float32 [n, dim]``, unit rows; row numbers are the ids.
        questions: what recall is measured with, ``float32 [num, dim]`` each.
        folder: of the generation.
        settings: the engine, and how much it must find.

    Raises:
        ArtifactError: the file cannot be written, or not be searched.
    """
    answers = {
        kind: exact_answers(vectors, asked) for kind, asked in questions.items() if len(asked)
    }
    climbs = [
        _climb(name, vectors, answers, folder, settings)
        for name in candidates(settings.index_engine, len(vectors))
    ]
    if sum(len(climb.trials) for climb in climbs) > 1 and answers:
        climbs = _timed(climbs, answers, folder)
    chosen = _cheapest(climbs)
    for climb in climbs:
        if climb is not chosen:
            _path(folder, climb.best.engine).unlink()
    trial = chosen.best
    logger.info(
        "index engine=%s search_k=%d recall_10=%.3f cpu_microseconds=%.0f",
        trial.engine,
        trial.search_k,
        trial.recall,
        trial.cpu_microseconds,
    )
    unseen = answers.get(Kind.UNSEEN)
    return ChosenIndex(
        trial=trial,
        trials=tuple(trial for climb in climbs for trial in climb.trials),
        first_page_cosine=float(np.median(unseen.least)) if unseen is not None else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class _Climb:
    """An engine, searched ever wider.

    Attributes:
        trials: the narrowest first.
        best: the narrowest that finds enough; the widest, if none does.
        finds_enough: whether it does.
    """

    trials: tuple[Trial, ...]
    best: Trial
    finds_enough: bool


def _climb(
    name: str,
    vectors: Float32s,
    answers: Mapping[Kind, ExactAnswers],
    folder: Path,
    settings: ModelSettings,
) -> _Climb:
    """Build an engine's index, search it ever wider until it finds enough, and then
    less wide again where that does, too.
    """
    engine = load_engine(name)
    engine.build(vectors, _path(folder, name), settings)

    def tried(search_k: int) -> tuple[Trial, bool]:
        index = engine.open(_path(folder, name), IndexedVectors(vectors), search_k)
        most = None if search_k else max(_LEAST_SCANS, _SCANNED_PRODUCTS // max(1, vectors.size))
        recalls = {kind: each.recall(index, most) for kind, each in answers.items()}
        trial = Trial(engine=name, search_k=search_k, recalls=recalls)
        return trial, _finds_enough(trial, answers, settings.recall_at_10)

    trials: list[Trial] = []
    for search_k in _search_ks(engine, len(vectors), settings):
        best, finds_enough = tried(search_k)
        trials.append(best)
        if finds_enough:
            break
    low = trials[-2].search_k if finds_enough and len(trials) > 1 else best.search_k
    for _ in range(_HALVINGS):
        middle = (low + best.search_k) // 2
        if middle in (low, best.search_k):
            break
        trial, is_enough = tried(middle)
        trials.append(trial)
        if is_enough:
            best = trial
        else:
            low = middle
    trials.sort(key=lambda trial: trial.search_k)
    return _Climb(trials=tuple(trials), best=best, finds_enough=finds_enough)


def _search_ks(engine: Engine, count: int, settings: ModelSettings) -> Sequence[int]:
    """Return how wide to search: as the settings say, if there is anything to say."""
    all_ = engine.search_ks(count)
    return (settings.index_search_k,) if settings.index_search_k and any(all_) else all_


def _finds_enough(trial: Trial, answers: Mapping[Kind, ExactAnswers], floor: float) -> bool:
    """Whether it finds enough of each kind, also where the sample was a lucky one: a
    standard error above the floor.
    """
    return all(
        recall - math.sqrt(recall * (1.0 - recall) / max(1, answers[kind].num_places)) >= floor
        for kind, recall in trial.recalls.items()
    )


def _timed(
    climbs: Sequence[_Climb], answers: Mapping[Kind, ExactAnswers], folder: Path
) -> list[_Climb]:
    trials = [trial for climb in climbs for trial in climb.trials]
    indexes = [
        Timed(engine=each.engine, path=_path(folder, each.engine), search_k=each.search_k)
        for each in trials
    ]
    kinds = list(answers.values())
    asked = np.concatenate([each.questions for each in kinds])
    # Mixed, because the first of them are asked.
    asked = np.random.default_rng(0).permutation(asked)
    seconds = time_searches(indexes, kinds[0].vectors, asked)
    cost = {
        (trial.engine, trial.search_k): each for trial, each in zip(trials, seconds, strict=True)
    }

    def timed(trial: Trial) -> Trial:
        return replace(trial, cpu_microseconds=cost[trial.engine, trial.search_k])

    return [
        replace(climb, trials=tuple(map(timed, climb.trials)), best=timed(climb.best))
        for climb in climbs
    ]


def _cheapest(climbs: Sequence[_Climb]) -> _Climb:
    """Return the simplest that finds enough, unless another one is worth it."""
    best = climbs[0]
    for other in climbs[1:]:
        cost, least = other.best.cpu_microseconds, best.best.cpu_microseconds
        if other.finds_enough and (not best.finds_enough or cost < _WORTH_IT * least):
            best = other
    return best


def _path(folder: Path, name: str) -> Path:
    return folder / load_engine(name).file_name
