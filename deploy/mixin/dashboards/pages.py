"""All dashboards."""

from deploy.mixin.dashboards.model import MODEL
from deploy.mixin.dashboards.overview import overview
from deploy.mixin.dashboards.panels import Dashboard
from deploy.mixin.dashboards.server import SERVER
from deploy.mixin.dashboards.stream import STREAM
from deploy.mixin.settings import Settings


def dashboards(settings: Settings) -> list[Dashboard]:
    """Return the dashboards, the overview first."""
    return [overview(settings), STREAM, MODEL, SERVER]
