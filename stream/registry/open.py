"""Opens the schema registry that the settings name."""

from stream.errors import SettingsInvalid
from stream.events.decoder import Frames
from stream.settings import StreamSettings


def open_registry(settings: StreamSettings) -> Frames | None:
    """Return what takes the frames of the registry away; None: none is set.

    Nothing is asked yet.

    Raises:
        SettingsInvalid: its libraries are not installed, or a file that the settings
            name cannot be read.
    """
    if not settings.schema_registry_url:
        return None
    try:
        from stream.registry.client import RegistryClient  # noqa: PLC0415  # an extra
        from stream.registry.schemas import Schemas  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SettingsInvalid(
            f"stream.schema_registry_url is set, which needs what is not installed ({error}); "
            "run: pip install 'freshet[registry]'"
        ) from error
    return Schemas(RegistryClient(settings))
