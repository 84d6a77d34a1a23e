"""What a site sets of the mixin."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

FILE = Path(__file__).parent / "mixin.toml"


class MixinError(Exception):
    """A source of the mixin is wrong; the message says where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a site may want otherwise.

    Attributes:
        runbook_base_url: where docs/operations.md is read; alerts link into it.
        objective_share: of the answers of 30 days that are to be fresh; below 1.
        least_traffic_share: of what shoppers did at the same time a day and a week ago;
            below it is a ticket; 0: there is none.
        scrape_seconds: from one scrape to the next, and so for evaluations.
        page_webhook: where Alertmanager delivers pages.
        ticket_webhook: and tickets.
    """

    runbook_base_url: str
    objective_share: float
    least_traffic_share: float
    scrape_seconds: int
    page_webhook: str
    ticket_webhook: str

    def runbook_url(self, alert: str) -> str:
        """Return the address of an alert's section in the runbook."""
        return f"{self.runbook_base_url}#{alert.lower()}"


def load_settings(path: Path = FILE) -> Settings:
    """Read the settings.

    Raises:
        MixinError: a key is unknown, missing or of the wrong type.
    """
    given = tomllib.loads(path.read_text("utf-8"))
    known = {field.name: field.type for field in fields(Settings)}
    if wrong := sorted(given.keys() ^ known.keys()):
        raise MixinError(f"{path}: {', '.join(wrong)}: the keys are {', '.join(known)}")
    for name, kind in known.items():
        if not isinstance(kind, type) or not isinstance(given[name], kind):
            raise MixinError(f"{path}: {name} is {given[name]!r}; give a value of {kind}")
    settings = Settings(**given)
    if not 0 < settings.objective_share < 1:
        raise MixinError(f"{path}: objective_share is {settings.objective_share}; give 0 to 1")
    if not 0 <= settings.least_traffic_share < 1:
        raise MixinError(
            f"{path}: least_traffic_share is {settings.least_traffic_share}; give 0.0 to 1"
        )
    return settings
