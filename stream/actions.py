"""The actions of a user on an item."""

from enum import IntEnum


class Action(IntEnum):
    """What a user did to an item. The numbers are stored: never renumber."""

    # Stored in the facts' stamps, in three bits: layout, not tunable.
    VIEW = 1
    CLICK = 2
    ADD_TO_CART = 3
    PURCHASE = 4

    @property
    def label(self) -> str:
        """The action's name in JSON and in settings: ``view``, ``click``,
        ``add-to-cart``, ``purchase``.
        """
        return self.name.lower().replace("_", "-")
