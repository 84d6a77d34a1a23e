"""The random split of a log's edges: what is learned, what training is stopped by, what
is tested in each group.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from model.errors import EvaluationRefused
from model.evaluation.paper.groups import GROUPS, group_of_items
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays

# Share of all edges that each group gives to the test, and again to the validation
# [num_of_portion]. The public code's. Twice as much leaves less to learn from.
_PORTION = 0.05
# Most of a group's own edges that go to either. Chosen by hand: the public code has no
# such bound, so that small groups would keep no edge to learn from, and isolated items
# would not differ from tail ones. Twice as much does just that.
_LARGEST_SHARE = 0.25
# Fewest edges of a test and of a validation: an MRR over fewer is chance. Chosen by
# hand; twice as many refuse more small shops.
_LEAST_EDGES = 10


@dataclass(frozen=True, kw_only=True)
class EdgeSplit:
    """A log's edges, in three parts that share none.

    Attributes:
        arrays: the whole graph.
        train: ``int64 [num_train]``, the edges to learn from, ascending.
        validation: ``int64 [num_validation]``, those to stop training by.
        test: ``int64 [num_test]``, those to report.
        group: ``int64 [num_test]``, the place in `GROUPS` of each of the test.
    """

    arrays: GraphArrays
    train: Int64s
    validation: Int64s
    test: Int64s
    group: Int64s

    def pairs(self, edges: Int64s) -> tuple[Int64s, Int64s]:
        """Return query and item of some edges, ``int64 [n]`` each."""
        return self.arrays.edge_query[edges], self.arrays.edge_item[edges]

    def of_group(self, name: str) -> Bools:
        """Return ``bool [num_test]``: which edges of the test are in a group of
        `GROUPS`; "all": all of them.
        """
        if name == "all":
            return np.ones(len(self.test), dtype=np.bool_)
        found: Bools = self.group == GROUPS.index(name)
        return found

    @cached_property
    def training_arrays(self) -> GraphArrays:
        """The graph as if no search had led to the held-out edges.

        Edges of validation and test are gone, and with them what made them: a query is
        in a session by the edges that are left. Sessions keep their items, as those of
        the paper do, which come from elsewhere.
        """
        arrays, kept = self.arrays, self.train
        is_kept = np.zeros(len(arrays.edge_query), dtype=np.bool_)
        is_kept[kept] = True
        facts = is_kept[arrays.edge_of_fact]
        return replace(
            arrays,
            edge_query=arrays.edge_query[kept],
            edge_item=arrays.edge_item[kept],
            edge_weight=arrays.edge_weight[kept],
            edge_sessions=arrays.edge_sessions[kept],
            edge_first_ms=arrays.edge_first_ms[kept],
            edge_last_ms=arrays.edge_last_ms[kept],
            fact_session=arrays.fact_session[facts],
            fact_query=arrays.fact_query[facts],
            fact_item=arrays.fact_item[facts],
            fact_action=arrays.fact_action[facts],
            fact_ms=arrays.fact_ms[facts],
        )

    @cached_property
    def strict_arrays(self) -> GraphArrays:
        """The training graph without the sessions in which a search led to a held-out
        edge: they hold its item beside what else was clicked for its query.
        """
        known, arrays = self.training_arrays, self.arrays
        is_held_out = np.ones(len(arrays.edge_query), dtype=np.bool_)
        is_held_out[self.train] = False
        sessions = arrays.fact_session[is_held_out[arrays.edge_of_fact]]
        kept = ~np.isin(known.incidence_session, sessions)
        return replace(
            known,
            incidence_session=known.incidence_session[kept],
            incidence_item=known.incidence_item[kept],
            incidence_ms=known.incidence_ms[kept],
        )


def split_at_random(arrays: GraphArrays, seed: int) -> EdgeSplit:
    """Split the edges of a log.

    Of each group's edges a random portion is the test, another one the validation; all
    others are learned from [edge_split_ogb].

    Args:
        arrays: the whole graph.
        seed: of the draw.

    Raises:
        EvaluationRefused: the log has no sessions of two items, or too few edges.
    """
    if not len(arrays.incidence_item):
        raise EvaluationRefused(
            "no session of the log has two items, so there is no hypergraph to compare by; give a "
            "log whose sessions hold more, or evaluate with --protocol time"
        )
    rng = np.random.default_rng(seed)
    group_of_edge = group_of_items(arrays)[arrays.edge_item]
    portion = int(_PORTION * len(group_of_edge))
    validation, test = [], []
    for group in range(len(GROUPS)):
        edges = rng.permutation(np.flatnonzero(group_of_edge == group))
        size = min(portion, int(_LARGEST_SHARE * len(edges)))
        test.append(edges[:size])
        validation.append(edges[size : 2 * size])
    tested, validated = np.sort(np.concatenate(test)), np.sort(np.concatenate(validation))
    if len(tested) < _LEAST_EDGES:
        raise EvaluationRefused(
            f"the log has {len(group_of_edge):,} query-item pairs, and the paper's groups keep "
            f"{len(tested):,} of them for the test; give a log of a few hundred, or evaluate with "
            "--protocol time"
        )
    held_out = np.concatenate([tested, validated])
    return EdgeSplit(
        arrays=arrays,
        train=np.setdiff1d(np.arange(len(group_of_edge)), held_out),
        validation=validated,
        test=tested,
        group=group_of_edge[tested],
    )
