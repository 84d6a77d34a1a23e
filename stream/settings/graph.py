"""What the graph is made of: weights, sessions, and when they are too old."""

from dataclasses import dataclass, field

from stream.actions import Action
from stream.errors import SettingsInvalid
from stream.settings.bounds import check_bounds

DEFAULT_SESSION_GAP_SECONDS = 1800.0
"""The gap of stores that do not say which they were made with."""

# Seconds, one hour: a folded sum grows by a bit for each half-life between its facts,
# and two bytes count its bytes, which is enough for 60 years. Half as much halves them.
# The upper bound, 100 years, is next to no decay.
_MIN_HALF_LIFE_SECONDS = 3600.0
_MAX_HALF_LIFE_SECONDS = 100 * 365 * 86400.0  # seconds; see above
# Seconds; chosen by hand: below a second every event is a session, above a month
# a session is a user.
_MIN_SESSION_GAP_SECONDS = 1.0
_MAX_SESSION_GAP_SECONDS = 30 * 86400.0  # seconds; see above


def _default_action_weights() -> dict[str, float]:
    return {"click": 1.0, "add-to-cart": 2.0, "purchase": 4.0}


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """What the graph makes of facts."""

    # 30 days, chosen by hand: training does not read it, only dumps and edge weights
    # do. Twice as long lets old facts weigh more.
    half_life_seconds: float = 30 * 86400.0
    """Half-life of a fact's weight, in seconds.

    Fixed when a store is created; one hour to 100 years.
    """

    # Chosen by hand; used where the half-life is.
    action_weights: dict[str, float] = field(default_factory=_default_action_weights)
    """What a new fact weighs, by action; a view never makes an edge.

    Applied when the graph is read.
    """

    # Sessions; 1 filters nothing. At 2, edges that one session made are not trained on.
    min_sessions: int = 1
    """Fewest distinct sessions of an edge that is trained on."""

    # Two days, chosen by hand; not tuned. Twice as long accepts later events, and the
    # fold age must be at least twice this.
    session_retention_seconds: float = 48 * 3600.0
    """An event older than one before it in its partition by more than this, in seconds,
    is late: quarantined as too_late.
    """

    session_gap_seconds: float = DEFAULT_SESSION_GAP_SECONDS
    """Longest inactivity, in seconds, within a session of events without a session id.

    Fixed when a store is created; one second to 30 days.
    """

    # Seven days, chosen by hand: a purchase a week after its search is still of it, as
    # shops credit clicks. Twice as long holds twice as many texts, some 0.3 kB each.
    query_join_seconds: float = 7 * 86400.0
    """An action that names its search by a query id gets the search's text if their
    times are at most this far apart, in seconds.

    Both are held for each other this long, and session_retention_seconds longer, by the
    clock.
    """

    # 0, so that no store folds, and loses erasing by session, unless its owner asks.
    erasure_horizon_seconds: float = 0.0
    """Sessions that ended longer ago are folded into exact sums, and can no longer be
    erased alone; older events are too_late, in history files too. 0: no session is
    folded.

    At least 2 x session_retention_seconds, and more than the longest session plus
    session_retention_seconds.
    """

    def _check_graph(self) -> None:
        self._check_weights()
        check_bounds(
            "half_life_seconds",
            self.half_life_seconds,
            _MIN_HALF_LIFE_SECONDS,
            _MAX_HALF_LIFE_SECONDS,
        )
        check_bounds("min_sessions", self.min_sessions, 1, 1_000_000)
        check_bounds(
            "session_retention_seconds", self.session_retention_seconds, 60.0, 100 * 365 * 86400.0
        )
        check_bounds(
            "session_gap_seconds",
            self.session_gap_seconds,
            _MIN_SESSION_GAP_SECONDS,
            _MAX_SESSION_GAP_SECONDS,
        )
        check_bounds("query_join_seconds", self.query_join_seconds, 1.0, 365 * 86400.0)
        self._check_fold_age()

    def _check_weights(self) -> None:
        known = [action.label for action in Action if action is not Action.VIEW]
        unknown = sorted(set(self.action_weights) - set(known))
        if unknown:
            raise SettingsInvalid(
                f"stream.action_weights has the unknown action {unknown[0]!r}; known are "
                f"{', '.join(known)}"
            )
        for label, weight in self.action_weights.items():
            check_bounds(f"action_weights.{label}", weight, 0.0, 1e6)

    def _check_fold_age(self) -> None:
        check_bounds(
            "erasure_horizon_seconds", self.erasure_horizon_seconds, 0.0, 100 * 365 * 86400.0
        )
        if 0.0 < self.erasure_horizon_seconds < 2 * self.session_retention_seconds:
            raise SettingsInvalid(
                f"stream.erasure_horizon_seconds is {self.erasure_horizon_seconds}; it must be "
                "0 or at least "
                f"{2 * self.session_retention_seconds}, twice stream.session_retention_seconds"
            )

    @property
    def fold_age_ms(self) -> int:
        """The fold age as the graph uses it: whole milliseconds.

        0: there is none.
        """
        return round(self.erasure_horizon_seconds * 1000)

    @property
    def query_join_ms(self) -> int:
        """How far apart a search and an action that names it may be: whole
        milliseconds.
        """
        return round(self.query_join_seconds * 1000)

    @property
    def query_keep_ms(self) -> int:
        """How long both are held for each other: whole milliseconds."""
        return self.query_join_ms + round(self.session_retention_seconds * 1000)

    @property
    def half_life_ms(self) -> int:
        """The half-life as the graph uses it: whole milliseconds."""
        return round(self.half_life_seconds * 1000)

    @property
    def session_gap_ms(self) -> int:
        """The gap as sessions are cut with it: whole milliseconds."""
        return round(self.session_gap_seconds * 1000)

    def weight_of(self, action: Action) -> float:
        """Return what one new fact of an action weighs.

        An action that is not listed weighs nothing.
        """
        return float(self.action_weights.get(action.label, 0.0))
