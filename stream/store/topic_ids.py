"""Whether the topics that a shard has read are still the ones that are there."""

import logging
from collections.abc import Mapping

from stream.errors import TopicRecreated
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.shard import Shard

logger = logging.getLogger(__name__)


def adopt_topics(shard: Shard, topic_ids: Mapping[str, str], settings: StreamSettings) -> list[str]:
    """Record which topics the shard's positions are in, and forget the positions in
    topics that are not the same any more: what is there now is read from its start.

    Facts that come again change nothing, so that costs time alone.

    Args:
        shard: written to.
        topic_ids: the ids of the topics as they are now, by name; empty: not known.
        settings: `on_topic_recreated` says whether that is an error.

    Returns:
        The names of those that are not the same any more.

    Raises:
        TopicRecreated: some are not, and the settings say to stop.
        StoreWriteFailed: the disk refused; nothing was changed.
    """
    known = shard.topic_ids()
    is_now = {name: found for name, found in topic_ids.items() if found}
    recreated = [name for name, found in is_now.items() if known.get(name, found) != found]
    if recreated and settings.on_topic_recreated == "stop":
        raise recreated_error(recreated[0], f"{shard.folder.parent} has read")
    changed = {
        codec.topic_id_key(name): codec.pack_topic_id(found)
        for name, found in is_now.items()
        if known.get(name) != found
    }
    forgotten = [position for position in shard.positions() if position.source in recreated]
    if changed:
        deletes = [codec.position_key(position) for position in forgotten]
        shard.write(ShardWrite.of(changed, deletes))
    for name in recreated:
        logger.warning(
            "topic was made again: reading it from its start topic=%s shard=%d was=%s now=%s",
            name,
            shard.index,
            known[name],
            is_now[name],
        )
    return recreated


def recreated_error(topic: str, expected: str) -> TopicRecreated:
    """Return the error that says what to do where a topic is another one."""
    return TopicRecreated(
        f"topic {topic} is not the one that {expected}: it was deleted and made again, or lost "
        "records, or the broker is another cluster's; give the address of the right one, or set "
        'stream.on_topic_recreated to "read" to read this one from its start'
    )
