"""The settings of what processes log."""

from dataclasses import dataclass

FORMATS = ("text", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """What processes log to stderr, and how.

    Raises:
        ValueError: a value cannot work; the message names the key.
    """

    format: str = "text"
    """How a line reads: text, for people, or json, one object an event, whose errors
    have an id that is a heading of this page.
    """

    level: str = ""
    """What is logged: DEBUG, INFO, WARNING or ERROR and what is worse. Empty: INFO of
    processes that run on, WARNING of others.
    """

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format is {self.format!r}; known: {', '.join(FORMATS)}")
        if self.level and self.level.upper() not in LEVELS:
            raise ValueError(f"level is {self.level.upper()!r}; known: {', '.join(LEVELS)}")
