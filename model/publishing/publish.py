"""A trained model to a published generation: write, judge, flip `CURRENT`, prune."""

import logging
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

import numpy as np

from model.artifact.attributes.build import build_attributes
from model.artifact.channels import CHANNEL_NAMES
from model.artifact.checks.canaries import make_canaries
from model.artifact.checks.verified import open_verified
from model.artifact.generation import Generation, open_generation
from model.artifact.index.engine import load_engine
from model.artifact.provenance import CATALOG_KEY, catalog_hash, code_version, model_settings
from model.artifact.store import ArtifactStore, new_generation_id
from model.artifact.writer import GenerationWriter
from model.context import NO_CONTEXT, ContextWeights
from model.data.titles import titles_of
from model.errors import ArtifactError, GateRefused, GenerationCorrupt, GenerationMissing
from model.publishing.context_weights import choose_context_weights
from model.publishing.feedback_weight import FIRST_WEIGHT, choose_feedback_weight
from model.publishing.fresh_arrays import build_fresh_arrays
from model.publishing.gate import Candidate, Verdict, judge
from model.publishing.index.choice import ChosenIndex, build_index
from model.publishing.index.questions import IndexedItems, ask
from model.publishing.path_graph import build_path_graph
from model.settings import ModelSettings
from model.training.result import TrainedModel
from protos import manifest_v1_pb2 as manifest_pb
from stream.dtypes import Int64s
from stream.errors import described
from stream.files import new_directory, replace_file
from stream.graph.arrays import GraphArrays
from stream.reading.manifest import SnapshotInfo

logger = logging.getLogger(__name__)


# Refused generations kept to be looked into: the newest, and one to compare it with.
# Twice as many take that much more disk.
_KEPT_REFUSED = 2


def publish(
    trained: TrainedModel,
    arrays: GraphArrays,
    snapshot: SnapshotInfo,
    store: ArtifactStore,
    settings: ModelSettings,
    now_ms: int,
    *,
    verified: Generation | None = None,
) -> str:
    """Write a generation, judge it, and make it the live one if it passes, and none is
    pinned.

    Args:
        trained: the trained model.
        arrays: what it was trained on; it has which items may be shown.
        snapshot: where the arrays came from.
        store: the artifact folder.
        settings: the index engine, bounds of the gate, how many generations to keep.
        now_ms: the time to put into id and manifest.
        verified: a generation that needs no more verifying, should it be the live one
            or the parent.

    Returns:
        The id of the generation, which is now live unless another one is pinned.

    Raises:
        GateRefused: it is on disk to be looked into, but the live generation is still
            the one before.
        ArtifactError: the folder cannot be written.
    """
    generation_id = new_generation_id(now_ms)
    items = np.flatnonzero(~arrays.item_deleted)
    shown = arrays.item_available[items]
    try:
        with new_directory(store.generation_path(generation_id)) as folder:
            writer = GenerationWriter(folder)
            _write_arrays(writer, trained, arrays, items)
            index_items = np.flatnonzero(shown)
            index = _build_index(trained, arrays, items[index_items], folder, settings)
            live = _live(store, verified)
            candidate = _candidate(trained, arrays, items, index.trial.recall)
            verdict = judge(candidate, live, settings)
            parent = _parent(trained, live, verified)
            context = choose_context_weights(trained, arrays, _standing_context(parent))
            feedback = choose_feedback_weight(trained, arrays, _standing_feedback(parent))
            manifest = _manifest(trained, arrays, snapshot, settings, verdict, index)
            manifest.evaluation.update(context.figures | feedback.figures)
            manifest.context_weight = context.weights.items
            manifest.context_query_weight = context.weights.queries
            manifest.feedback_weight = feedback.weight
            manifest.first_page_cosine = index.first_page_cosine
            manifest.generation_id, manifest.created_ms = generation_id, now_ms
            manifest.num_items, manifest.num_indexed = len(items), len(index_items)
            manifest.canaries.extend(_canaries(trained, arrays, items[index_items]))
            writer.seal(manifest)
    except OSError as error:
        raise ArtifactError(
            f"a generation cannot be written below {store.root}: {described(error)}"
        ) from error
    if verdict.passed:
        _go_live(store, generation_id)
    _prune(store, settings.keep_generations)
    if not verdict.passed:
        raise GateRefused(generation_id, verdict.reasons)
    return generation_id


def use_generation(store: ArtifactStore, generation_id: str, *, verify: bool = True) -> None:
    """Make a generation the live one: verify all of it, then flip `CURRENT`.

    Args:
        store: the artifact folder.
        generation_id: which one; one that the gate refused may be chosen by hand.
        verify: False: it was just written by this process.

    Raises:
        GenerationMissing: there is no such generation.
        GenerationCorrupt: its files do not agree with its manifest.
        ArtifactError: the pointer cannot be written.
    """
    if generation_id not in store.generation_ids():
        known = ", ".join(store.generation_ids()[-3:]) or "none"
        raise GenerationMissing(
            f"no generation {generation_id} in {store.root}; the newest there: {known}"
        )
    if verify:
        open_verified(store.generation_path(generation_id))
    try:
        replace_file(store.root / "CURRENT", f"{generation_id}\n".encode())
    except OSError as error:
        raise ArtifactError(f"{store.root / 'CURRENT'} cannot be written: {error}") from error
    logger.info("generation live id=%s", generation_id)


def _go_live(store: ArtifactStore, generation_id: str) -> None:
    """Make a generation that passed the live one, unless another one is pinned."""
    pin = store.pin()
    if pin is None:
        use_generation(store, generation_id, verify=False)
        return
    logger.warning(
        "generation not live id=%s pinned=%s; `freshet generations unpin` lets the next go live",
        generation_id,
        pin.generation_id or "?",
    )


def _parent(
    trained: TrainedModel, live: Generation | None, verified: Generation | None
) -> Generation | None:
    """Return the generation that a training went on from; None: it began from scratch.

    The live one, or one that a pin keeps from being it.
    """
    found = (each for each in (live, verified) if each is not None and each.id == trained.parent)
    return next(found, None)


def _write_arrays(
    writer: GenerationWriter, trained: TrainedModel, arrays: GraphArrays, items: Int64s
) -> None:
    writer.add_strings("item_ids", _pick(arrays.item_ids, items))
    writer.add_array("item_keys", arrays.item_keys[items])
    writer.add_strings("item_titles", _pick(arrays.item_titles, items))
    writer.add_array("item_vectors", trained.item_vectors[items])
    writer.add_array("item_shown", arrays.item_available[items])
    writer.add_array("index_items", np.flatnonzero(arrays.item_available[items]).astype(np.int64))
    writer.add_attributes(build_attributes(arrays.item_attributes, items))
    num_queries = len(trained.query_vectors)
    writer.add_array("query_keys", arrays.query_keys[:num_queries])
    writer.add_strings("query_texts", arrays.query_texts[:num_queries])
    writer.add_array("query_vectors", trained.query_vectors)
    writer.add_array("channel_attention_items", trained.item_attention[items])
    writer.add_array("channel_attention_queries", trained.query_attention)
    paths = build_path_graph(arrays, items, num_queries)
    writer.add_paths(paths)
    if trained.states is not None:
        writer.add_fresh(build_fresh_arrays(trained, trained.states, arrays, items, paths))
    for name, array in trained.encoder.items():
        writer.add_array(f"encoder.{name}", array)
    for name, array in trained.warm.items():
        writer.add_array(f"warm.{name}", array[items] if name == "item_ids" else array)


def _build_index(
    trained: TrainedModel, arrays: GraphArrays, shown: Int64s, folder: Path, settings: ModelSettings
) -> ChosenIndex:
    """Write the index file of the items that may be shown."""
    num_clicks = np.bincount(arrays.edge_item, minlength=arrays.num_items)
    items = IndexedItems(
        vectors=trained.item_vectors[shown],
        titles=_pick(arrays.item_titles, shown),
        catalog_ms=arrays.item_catalog_ms[shown],
        has_clicks=num_clicks[shown] > 0,
    )
    texts = arrays.query_texts[: len(trained.query_vectors)]
    questions = ask(items, texts, trained.query_vectors, trained.text_encoder())
    return build_index(items.vectors, questions, folder, settings)


def _canaries(
    trained: TrainedModel, arrays: GraphArrays, shown: Int64s
) -> list[manifest_pb.Canary]:
    """Return what the generation must answer; `shown` are the items of its index."""

    def item_of(row: int) -> tuple[str, str]:
        return arrays.item_ids[shown[row]], arrays.item_titles[shown[row]]

    return make_canaries(
        arrays.query_texts[: len(trained.query_vectors)],
        trained.query_vectors,
        trained.text_encoder().encode,
        trained.item_vectors[shown],
        item_of,
    )


def _candidate(
    trained: TrainedModel, arrays: GraphArrays, items: Int64s, recall: float
) -> Candidate:
    held_out = trained.held_out
    new_row = np.full(len(arrays.item_keys), -1, dtype=np.int64)
    new_row[items] = np.arange(len(items))
    known = new_row[arrays.edge_item] >= 0
    has_queries = bool(len(trained.query_vectors))
    known &= has_queries
    return Candidate(
        dim=trained.dim,
        query_keys=arrays.query_keys,
        query_texts=arrays.query_texts,
        query_vectors=trained.query_vectors,
        item_ids=_pick(arrays.item_ids, items),
        item_vectors=trained.item_vectors[items],
        encoder=trained.text_encoder(),
        titles=_pick(titles_of(arrays), items),
        shown=arrays.item_available[items],
        hidden_ids=frozenset(_pick(arrays.item_ids, np.flatnonzero(arrays.item_deleted))),
        index_recall=recall,
        parent=trained.parent,
        known=(arrays.edge_query[known], new_row[arrays.edge_item[known]]),
        known_first_ms=arrays.edge_first_ms[known],
        held_out=(held_out.query, new_row[held_out.item]),
        held_out_first_ms=held_out.first_ms,
        held_out_query_vectors=held_out.query_vectors,
        held_out_item_vectors=held_out.item_vectors[items],
    )


def _manifest(
    trained: TrainedModel,
    arrays: GraphArrays,
    snapshot: SnapshotInfo,
    settings: ModelSettings,
    verdict: Verdict,
    index: ChosenIndex,
) -> manifest_pb.Generation:
    described = snapshot.to_manifest()
    return manifest_pb.Generation(
        parent=trained.parent,
        code_version=code_version(),
        snapshot=manifest_pb.SnapshotRef(
            snapshot_id=described.snapshot_id,
            taken_ms=described.taken_ms,
            watermark_ms=described.watermark_ms,
            graph_hash=described.graph_hash,
            counts=described.counts,
            shards=described.shards,
        ),
        dim=trained.dim,
        metric=load_engine(index.trial.engine).metric,
        num_queries=len(trained.query_vectors),
        seed=settings.seed,
        evaluation={**trained.evaluation, **verdict.figures, **index.figures},
        model={**model_settings(trained.settings), CATALOG_KEY: catalog_hash(arrays)},
        gate=manifest_pb.Gate(passed=verdict.passed, reasons=verdict.reasons),
        channels=CHANNEL_NAMES,
        index=index.manifest(),
        pretrained_text=_pretrained_text(trained),
        title_words=_title_words(trained),
        session_walk=_session_walk(trained),
        item_prior=_item_prior(trained),
    )


def _pretrained_text(trained: TrainedModel) -> manifest_pb.PretrainedText | None:
    if trained.pretrained is None:
        return None
    identity = trained.pretrained.identity
    return manifest_pb.PretrainedText(
        name=identity.name,
        version=identity.version,
        sha256=identity.sha256,
        dim=trained.pretrained.block.dim,
    )


def _title_words(trained: TrainedModel) -> manifest_pb.TitleWords | None:
    if trained.words is None:
        return None
    return manifest_pb.TitleWords(dim=trained.words.dim, scale=trained.words.scale)


def _session_walk(trained: TrainedModel) -> manifest_pb.SessionWalk | None:
    if trained.walk is None:
        return None
    scales = trained.walk.scales
    return manifest_pb.SessionWalk(
        dim=trained.walk.dim,
        query_scale=scales.query,
        new_query_scale=scales.new_query,
        item_scale=scales.item,
        new_item_scale=scales.new_item,
    )


def _item_prior(trained: TrainedModel) -> manifest_pb.ItemPrior | None:
    if trained.prior is None:
        return None
    return manifest_pb.ItemPrior(weight=trained.prior.weight, new_share=trained.prior.new_share)


def _live(store: ArtifactStore, verified: Generation | None) -> Generation | None:
    """Return the live generation to compare with.

    One that cannot be read is no reason to stay on it.
    """
    try:
        current = store.current_id()
        if verified is not None and verified.id == current:
            return verified
        return open_generation(store.generation_path(current)) if current else None
    except (GenerationCorrupt, GenerationMissing, ArtifactError) as error:
        logger.warning("live generation cannot be compared with error=%s", error)
        return None


def _standing_context(parent: Generation | None) -> ContextWeights:
    """Return the context weights that a training goes on from."""
    return NO_CONTEXT if parent is None else parent.context_weights


def _standing_feedback(parent: Generation | None) -> float:
    """Return the feedback weight that a training goes on from."""
    if parent is None or not parent.manifest.HasField("feedback_weight"):
        return FIRST_WEIGHT
    return parent.feedback_weight


def _prune(store: ArtifactStore, keep: int) -> None:
    """Keep the newest `keep` that passed the gate and a few that did not.

    The live one and a pinned one always.

    What a killed writer left half-made goes, too: there is one writer at a time.
    """
    for left in (store.root / "generations").glob(".*.tmp"):
        rmtree(left, ignore_errors=True)
    pin = store.pin()
    kept = {store.current_id(), "" if pin is None else pin.generation_id}
    passed: list[str] = []
    refused: list[str] = []
    for generation_id in store.generation_ids():
        (passed if _passed(store, generation_id) else refused).append(generation_id)
    for generation_id in [*passed[:-keep], *refused[:-_KEPT_REFUSED]]:
        if generation_id not in kept:
            store.remove(generation_id)
            logger.info("generation removed id=%s", generation_id)


def _passed(store: ArtifactStore, generation_id: str) -> bool:
    try:
        return store.manifest(generation_id).gate.passed
    except ArtifactError:
        return False


def _pick(strings: Sequence[str], rows: Int64s) -> list[str]:
    return [strings[row] for row in rows]
