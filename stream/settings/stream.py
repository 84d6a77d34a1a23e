"""All settings of the stream as one."""

from dataclasses import dataclass

from stream.settings.access import AccessSettings
from stream.settings.batches import BatchSettings
from stream.settings.formats import FormatSettings
from stream.settings.graph import GraphSettings
from stream.settings.group import GroupSettings
from stream.settings.limits import LimitSettings
from stream.settings.store import StoreSettings
from stream.settings.topics import TopicSettings


# The keys of the last come first, in `freshet config` and in docs/reference.md.
@dataclass(frozen=True, kw_only=True)
class StreamSettings(
    AccessSettings,
    GroupSettings,
    TopicSettings,
    FormatSettings,
    LimitSettings,
    StoreSettings,
    BatchSettings,
    GraphSettings,
):
    """Everything that can be set about reading events and keeping the graph.

    Raises:
        SettingsInvalid: a value is out of its bounds; the message names the key.
    """

    def __post_init__(self) -> None:
        self._check_graph()
        self._check_batches()
        self._check_store()
        self._check_limits()
        self._check_formats()
        self._check_topics()
        self._check_group()
        self._check_access()
