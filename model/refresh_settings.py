"""The settings of the refresher: how often it publishes, and what bounds its work."""

from dataclasses import dataclass

from model.errors import SettingsInvalid

# Lowest and highest value of each number. Chosen by hand, to refuse typing errors and
# what cannot work; twice the highest would still run, slowly or to no use.
_BOUNDS = {
    "fresh_every_seconds": (0.05, 3600.0),
    "poll_seconds": (0.01, 60.0),
    "max_overlay_items": (1, 1 << 24),
    "max_round_changes": (1, 1 << 24),
    "max_round_nodes": (1, 1 << 24),
    "max_neighbours": (0, 1 << 20),
    "audit_every_seconds": (0.1, 86400.0),
    "audit_nodes": (0, 10_000),
    "min_audit_cosine": (-1.0, 1.0),
    "max_withheld_radians": (0.0, 4.0),
    "ask_again_seconds": (1.0, 30 * 86400.0),
    "asked_every_seconds": (0.1, 86400.0),
    "behind_after_seconds": (0.1, 86400.0),
}


@dataclass(frozen=True, kw_only=True)
class RefreshSettings:
    """The table ``[refresh]``.

    Raises:
        SettingsInvalid: a value is out of its bounds; the message names the key.
    """

    # In a busy shop a click waits for half of it in the mean. Twice as much: half a
    # second later, at half the rounds.
    fresh_every_seconds: float = 1.0
    """Shortest time between two rounds, in seconds. Deletions and new items do not wait
    for it, nor do erasures, where little else waits.
    """
    # A look costs a stat and a small read for each shard. Twice as much: deletions up
    # to 0.1 s later.
    poll_seconds: float = 0.1
    """How often the refresher looks for changes and a new generation, in seconds."""
    # A server scans them exactly, in 0.1 to 0.3 ms. Twice as many: twice that, and a
    # full segment of 10 MB.
    max_overlay_items: int = 10_000
    """Items of the overlay above which the tuner is asked for a generation early."""
    # Facts, sessions and catalogue states: 1.5 s of 27,000 events a second, half a
    # second of CPU. With a third as many each costs 1.8 times as much, and such a shop
    # is never caught up with; with twice as many the rounds of a burst take half as
    # long again.
    max_round_changes: int = 60_000
    """Changes that one round takes in; what is more waits for the next round, which
    then comes at once.
    """
    # Some tenths of a second of CPU. Twice as many: up to twice the time of a round.
    max_round_nodes: int = 4096
    """Vectors that one round recomputes; others are carried over, most asked first."""
    # Of one changed node. Twice as many: up to twice the work of a click, for those
    # that move less.
    max_neighbours: int = 64
    """Neighbours that one change reaches at most; those that it moves most."""
    # Costs a few milliseconds. Twice as much: drift is seen ten seconds later.
    audit_every_seconds: float = 10.0
    """How often vectors of the overlay are compared with what a full pass would give,
    in seconds.
    """
    # Nodes. Twice as many: twice the time of an audit, half the time until each was
    # looked at.
    audit_nodes: int = 8
    """Vectors that are compared each time; 0: none."""
    # A cosine. By hand: at 0.99 a vector has moved by 8 degrees. Half the distance to 1
    # asks for generations for less than answers show.
    min_audit_cosine: float = 0.99
    """Cosine to what a full pass would give below which the tuner is asked for a
    generation early.
    """
    # An angle: a cosine of 0.955. By hand. Twice as much: 0.825, and answers show it.
    max_withheld_radians: float = 0.3
    """Movement of a vector that waits or is not followed, estimated in radians, above
    which the tuner is asked for a generation early.
    """
    # By hand, about a training: while one runs, asking brings no other. Twice as long:
    # a tuner that failed is asked five minutes later.
    ask_again_seconds: float = 300.0
    """How long after asking for a generation early it is asked again, in seconds."""
    # What is asked most changes slowly. Twice as long: half the calls.
    asked_every_seconds: float = 10.0
    """How often the servers are asked what they are asked most, in seconds."""
    # Ten rounds, or a stream that is restarted. Twice as long: told later.
    behind_after_seconds: float = 10.0
    """Age of the overlay, in seconds, above which the refresher says why it is so."""

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise SettingsInvalid(
                    f"refresh.{name} is {getattr(self, name)}; it must be between {low} and {high}"
                )
