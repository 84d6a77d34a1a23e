"""A generation: what its files hold, opened and checked against its manifest.

Layout (`docs/formats.md` has the details)::

    ARTIFACTS/
      CURRENT                          the id of the live generation, one line
      generations/<id>/manifest.json   freshet.manifest.v1.Generation as protobuf JSON
      generations/<id>/*               arrays (.npy), texts (.utf8), the index

Imports numpy, the text rules and the manifest stubs only, so that a server can read
what a trainer wrote.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.strings import StringTable
from model.artifact.attributes.table import AttributeTable
from model.artifact.channels import FIRST_CHANNELS
from model.artifact.checks.listing import check_listing
from model.artifact.encoder import TextEncoder
from model.artifact.files import ENCODER_PREFIX, WARM_PREFIX, GenerationFiles, check_file
from model.artifact.fresh_arrays import FRESH_PREFIX, FreshArrays, check_fresh_arrays
from model.artifact.index.engine import Engine, VectorIndex, load_engine
from model.artifact.index.engines import FIRST_ENGINE
from model.artifact.index.indexed import IndexedVectors
from model.artifact.manifest import SPACED_WORDS_VERSION, read_manifest
from model.artifact.paths import PathGraph, check_path_graph
from model.artifact.pretrained.block import TextBlock, text_block
from model.artifact.pretrained.encoder import open_encoder
from model.artifact.private_files import DigestOf, OpenFile, as_it_is
from model.beside.item_prior import DIM, PriorBlock
from model.beside.session_walk import WalkBlock, WalkScales, walk_block
from model.beside.title_words import WordBlock, word_block
from model.context import ContextWeights
from model.errors import GenerationCorrupt, PretrainedTextUnusable
from protos import manifest_v1_pb2 as manifest_pb
from protos.text import text_key
from stream.dtypes import Bools, Float32s, Int64s
from stream.errors import refusal
from stream.files import sha256_of

# What servers search generations with whose manifest has no `search_k`.
_FIRST_SEARCH_K = 10_000


@dataclass(frozen=True, kw_only=True)
class Generation:
    """An opened generation: arrays memory-mapped and read-only, queries and items in
    ascending order of key.

    Attributes:
        id: the generation's id.
        path: its folder.
        manifest: counts, provenance, evaluation.
        item_ids: external ids, by dense item index.
        item_keys: ``uint64 [num_items]`` ascending `protos.text.text_key` of the ids;
            None: it was written before they were stored.
        item_titles: titles, by dense item index; empty where the catalogue has none.
        item_vectors: ``float32 [num_items, dim]`` unit vectors.
        item_shown: ``bool [num_items]``; False: deleted or unavailable, not in the
            index.
        index_items: ``int64 [num_indexed]``, the item index behind each dense id of the
            index file.
        query_keys: ``uint64 [num_queries]`` ascending `protos.text.text_key` of the
            normalised text.
        query_texts: normalised texts, by dense query index.
        query_vectors: ``float32 [num_queries, dim]`` unit vectors.
        channel_attention_items: ``float32 [num_items, num_channels]``, the weight of
            each of `channels`; rows sum to 1.
        channel_attention_queries: ``float32 [num_queries, num_channels]``, the same for
            queries.
        attributes: what filters may ask of the items; None: it was written before that
            was stored.
        paths: the graph behind the vectors, see `model.artifact.paths`; None: it was
            written before that was stored.
        fresh: what the fresh lane continues from, see `model.artifact.fresh_arrays`;
            None: it is not stored, or the reader left it out.
        encoder: the text encoder's arrays by name, see
            `model.artifact.encoder.TextEncoder`.
        warm: what a later training starts from besides the encoder, by name, see
            `model.training.warm_start`.
    """

    id: str
    path: Path
    manifest: manifest_pb.Generation
    item_ids: StringTable
    item_keys: NDArray[np.uint64] | None
    item_titles: StringTable
    item_vectors: Float32s
    item_shown: Bools
    index_items: Int64s
    query_keys: NDArray[np.uint64]
    query_texts: StringTable
    query_vectors: Float32s
    channel_attention_items: Float32s
    channel_attention_queries: Float32s
    attributes: AttributeTable | None
    paths: PathGraph | None
    fresh: FreshArrays | None
    encoder: dict[str, NDArray[Any]]
    warm: dict[str, Float32s]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of the network that made it, by name, in the order of attention.

        They need not be those of `model.artifact.channels`: another version may have
        had others.
        """
        return tuple(self.manifest.channels) or FIRST_CHANNELS

    @property
    def engine(self) -> Engine:
        """The engine that built the index.

        Raises:
            GenerationCorrupt: this code does not know it.
        """
        return load_engine(self.manifest.index.engine or FIRST_ENGINE)

    @property
    def index_path(self) -> Path:
        """The index file, over `item_vectors[index_items]`."""
        return self.path / self.engine.file_name

    @property
    def indexed_vectors(self) -> IndexedVectors:
        """The vectors that the index is over."""
        rows = self.index_items  # ascending
        has_all = len(rows) == len(self.item_vectors) and (not len(rows) or rows[0] == 0)
        return IndexedVectors(self.item_vectors, None if has_all else rows)

    @property
    def search_k(self) -> int:
        """How wide a search was when the gate measured recall; 0: it examines all."""
        has_index = self.manifest.HasField("index")
        return self.manifest.index.search_k if has_index else _FIRST_SEARCH_K

    @property
    def context_weights(self) -> ContextWeights:
        """What the running session is worth to a query; 0 where nobody validated it."""
        return ContextWeights(
            items=self.manifest.context_weight, queries=self.manifest.context_query_weight
        )

    @property
    def feedback_weight(self) -> float:
        """What clicks since the snapshot are worth to their queries; 0 where nobody
        validated it.
        """
        return self.manifest.feedback_weight

    @property
    def first_page_cosine(self) -> float:
        """How near the last item of a first page is to a text that nobody searched for;
        0 where nobody measured it.
        """
        return self.manifest.first_page_cosine

    def text_encoder(self) -> TextEncoder:
        """Return what encodes texts as this generation was trained to.

        Raises:
            GenerationCorrupt: an array is missing or has the wrong shape.
            PretrainedTextUnusable: as `text_block`.
        """
        return TextEncoder(
            self.encoder,
            cuts_words=not self.has_spaced_words,
            block=self.text_block(),
            words=self.word_block,
            walk=self.walk_block,
            prior=self.prior_block,
        )

    def text_block(self) -> TextBlock | None:
        """Return what pretrained text adds to its vectors; None: nothing.

        Raises:
            GenerationCorrupt: an array is missing or has the wrong shape.
            PretrainedTextUnusable: the encoder that it was made with is not installed;
                the message says what to install.
        """
        if not self.manifest.HasField("pretrained_text"):
            return None
        wanted = self.manifest.pretrained_text
        try:
            encoder = open_encoder(wanted.name)
        except PretrainedTextUnusable as error:
            raise PretrainedTextUnusable(
                f"generation {self.id} was made with {wanted.name} {wanted.version}: {error}"
            ) from error
        if encoder.identity.sha256 != wanted.sha256:
            raise PretrainedTextUnusable(
                f"generation {self.id} was made with {wanted.name} {wanted.version}, whose files "
                f"are others than those of {encoder.identity.version}, which is installed; install "
                f"{wanted.name}=={wanted.version} and start again, or train again with this one"
            )
        return text_block(self.encoder, encoder)

    @property
    def network_dim(self) -> int:
        """Length of the network's vectors, which stand first in all others."""
        manifest = self.manifest
        blocks = manifest.pretrained_text.dim + manifest.title_words.dim + manifest.session_walk.dim
        return self.dim_before_prior - blocks

    @property
    def word_block(self) -> WordBlock | None:
        """What words of titles add to its vectors; None: nothing.

        Raises:
            GenerationCorrupt: an array is missing or has the wrong shape.
        """
        if not self.manifest.HasField("title_words"):
            return None
        words = self.manifest.title_words
        return word_block(self.encoder, dim=words.dim, scale=words.scale)

    @property
    def walk_block(self) -> WalkBlock | None:
        """What walks through sessions add to its vectors; None: nothing.

        Raises:
            GenerationCorrupt: an array is missing or has the wrong shape.
        """
        if not self.manifest.HasField("session_walk"):
            return None
        walk = self.manifest.session_walk
        scales = WalkScales(
            query=walk.query_scale,
            new_query=walk.new_query_scale,
            item=walk.item_scale,
            new_item=walk.new_item_scale,
        )
        rest = self.dim_before_prior - walk.dim
        return walk_block(self.encoder, rest=rest, dim=walk.dim, scales=scales)

    @property
    def prior_block(self) -> PriorBlock | None:
        """What priors of items add to its vectors; None: nothing."""
        if not self.manifest.HasField("item_prior"):
            return None
        prior = self.manifest.item_prior
        return PriorBlock(weight=prior.weight, new_share=prior.new_share)

    @property
    def dim_before_prior(self) -> int:
        """Length of its vectors without what priors of items add, which is last."""
        return self.manifest.dim - (DIM if self.manifest.HasField("item_prior") else 0)

    @property
    def has_spaced_words(self) -> bool:
        """Whether it was trained before words were cut where a script has no spaces."""
        return self.manifest.format_version == SPACED_WORDS_VERSION

    def open_index(self, *, open_file: OpenFile = as_it_is) -> VectorIndex:
        """Open the index, to be searched as the gate searched it.

        Args:
            open_file: as in `open_generation`.

        Raises:
            GenerationCorrupt: the engine or its metric is another than this code's, or
                the file cannot be read.
        """
        engine, manifest = self.engine, self.manifest
        if manifest.metric != engine.metric:
            raise GenerationCorrupt(
                f"the index {self.index_path} has metric {manifest.metric!r}; "
                f"this code reads {engine.metric!r}"
            )
        path = open_file(self.index_path)
        return engine.open(path, self.indexed_vectors, self.search_k)

    def find_query(self, text: str) -> int | None:
        """Return the dense index of a normalised query, or None where it is not in the
        graph.
        """
        return self.query_texts.find(text, self.query_keys)

    def find_item(self, item_id: str) -> int | None:
        """Return the dense index of an item, or None where the generation does not have
        it.
        """
        if self.item_keys is not None:
            return self.item_ids.find(item_id, self.item_keys)
        row = bisect_left(self.item_ids, text_key(item_id), key=text_key)
        return row if row < len(self.item_ids) and self.item_ids[row] == item_id else None


def open_generation(
    path: Path,
    *,
    verify: bool = True,
    on_file: Callable[[Path], None] | None = None,
    open_file: OpenFile = as_it_is,
    digest_of: DigestOf = sha256_of,
    has_fresh: bool = True,
    manifest: manifest_pb.Generation | None = None,
) -> Generation:
    """Open a generation and check it against its manifest.

    Sizes and sha256 of all files, shapes, counts.

    Args:
        path: the generation's folder.
        verify: False skips the sha256 of file contents (sizes and shapes are always
            checked).
        on_file: called with each file once it has been checked; reading it brought it
            into the page cache.
        open_file: where to read each file, such as a private copy of it
            (`model.artifact.private_files`); it is what is checked, too.
        digest_of: returns the sha256 of a file by where it is read.
        has_fresh: False leaves out what only the fresh lane reads, unchecked: it is
            most of a generation.
        manifest: of the files that are opened, where somebody has read it and compared
            it with the folder; None: both are done here.

    Raises:
        GenerationMissing: there is no generation at `path`.
        GenerationCorrupt: anything about it disagrees with its manifest; the message
            names the file.
    """
    if manifest is None:
        manifest = read_manifest(path)
        check_listing(path, manifest, unread_prefix=None if has_fresh else FRESH_PREFIX)
    if not has_fresh:
        others = [each for each in manifest.files if not each.name.startswith(FRESH_PREFIX)]
        del manifest.files[:]
        manifest.files.extend(others)
    for entry in manifest.files:
        check_file(path / entry.name, entry, open_file, digest_of if verify else None)
        if on_file is not None:
            on_file(path / entry.name)
    try:
        generation = _mapped(path, manifest, open_file)
    except (OSError, ValueError) as error:
        if refusal(error):
            raise
        raise GenerationCorrupt(f"generation {path} cannot be read: {error}") from error
    _check_shapes(generation)
    return generation


def _mapped(path: Path, manifest: manifest_pb.Generation, open_file: OpenFile) -> Generation:
    files = GenerationFiles(path, [entry.name for entry in manifest.files], open_file)
    return Generation(
        id=manifest.generation_id,
        path=path,
        manifest=manifest,
        item_ids=files.strings("item_ids"),
        item_keys=files.keys("item_keys"),
        item_titles=files.strings("item_titles"),
        item_vectors=files.array("item_vectors", np.float32),
        item_shown=files.array("item_shown", np.bool_),
        index_items=files.array("index_items", np.int64),
        query_keys=files.array("query_keys", np.uint64),
        query_texts=files.strings("query_texts"),
        query_vectors=files.array("query_vectors", np.float32),
        channel_attention_items=files.array("channel_attention_items", np.float32),
        channel_attention_queries=files.array("channel_attention_queries", np.float32),
        attributes=files.attributes(),
        paths=files.paths(),
        fresh=files.fresh(),
        encoder=files.named_arrays(ENCODER_PREFIX),
        warm=files.named_arrays(WARM_PREFIX),
    )


def _check_shapes(generation: Generation) -> None:
    manifest = generation.manifest
    num_items, num_queries, dim = manifest.num_items, manifest.num_queries, manifest.dim
    expected = {
        "item_vectors": (num_items, dim),
        "item_shown": (num_items,),
        "index_items": (manifest.num_indexed,),
        "query_keys": (num_queries,),
        "query_vectors": (num_queries, dim),
        "channel_attention_items": (num_items, len(generation.channels)),
        "channel_attention_queries": (num_queries, len(generation.channels)),
    }
    if generation.item_keys is not None:
        expected["item_keys"] = (num_items,)
    for name, shape in expected.items():
        found = getattr(generation, name).shape
        if found != shape:
            raise GenerationCorrupt(
                f"{generation.path}/{name}.npy has shape {found}, its manifest has {shape}"
            )
    for name, count in (
        ("item_ids", num_items),
        ("item_titles", num_items),
        ("query_texts", num_queries),
    ):
        if len(getattr(generation, name)) != count:
            raise GenerationCorrupt(f"{generation.path}/{name}.utf8 does not hold {count} strings")
    if generation.paths is not None:
        check_path_graph(generation.paths, num_queries, num_items)
    if generation.fresh is not None:
        check_fresh_arrays(generation.fresh, generation.paths, generation.network_dim)
