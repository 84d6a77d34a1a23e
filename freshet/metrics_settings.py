"""Who may read the metrics of a process, and whether they are encrypted."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """What protects the port where Prometheus finds the metrics, of every process.

    Raises:
        ValueError: a value cannot work.
    """

    tls_cert: str = ""
    """PEM file with the certificate of the metrics port, and what leads to its
    authority; it is read again when it changes. Empty: the port has no TLS.
    """

    tls_key: str = ""
    """PEM file with the private key of that certificate."""

    tls_client_ca: str = ""
    """PEM file with the authorities whose certificates readers must have (mutual TLS).
    Empty: readers need none.
    """

    tokens: str = ""
    """File with the tokens that readers must have, a line each (`freshet token NAME`);
    it is read again when it changes. Empty: readers need none. Tokens are readable by
    whoever sees the traffic: use them with TLS.
    """

    def __post_init__(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError(
                f"tls_key is {self.tls_key!r}; it must be set if and only if tls_cert is"
            )
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError(
                f"tls_client_ca is {self.tls_client_ca!r}; it must be empty without tls_cert"
            )
