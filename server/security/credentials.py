"""What protects the gRPC port."""

import grpc

from server.security.tls import TlsFiles
from server.settings import ServerSettings


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """Return what protects the port; None: nothing does.

    Raises:
        SettingsInvalid: a file cannot be read, or they cannot be used together.
    """
    if not settings.tls_cert:
        return None
    files = TlsFiles(settings, "server")

    def changed() -> grpc.ServerCertificateConfiguration | None:
        contents = files.changed_contents()
        return None if contents is None else _configuration(contents)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(files.contents()),
        changed,  # type: ignore[arg-type]  # None: no change, say gRPC's docs
        require_client_authentication=bool(settings.tls_client_ca),
    )


def _configuration(contents: dict[str, bytes]) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(contents["tls_key"], contents["tls_cert"])], contents.get("tls_client_ca")
    )
