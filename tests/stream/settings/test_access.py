"""Access: what does not fit together is refused, and no secret is shown."""

from typing import Any

import pytest

from stream.errors import SettingsInvalid
from stream.settings import StreamSettings

TOKENS = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauthbearer_token_endpoint_url": "https://login.example.com/token",
    "sasl_oauthbearer_client_id": "freshet",
    "sasl_oauthbearer_client_secret": "hush",
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"security_protocol": "TLS"}, "security_protocol is 'TLS'; it must be PLAINTEXT or SSL"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism is ''; it must be PLAIN"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"},
            "needs stream.sasl_username and stream.sasl_password or stream.sasl_password_file",
        ),
        (
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "sasl_username": "u",
                "sasl_password": "hush",
                "sasl_password_file": "f",
            },
            "are both set; keep one",
        ),
        ({"sasl_password": "hush"}, "sasl_password is set, .* PLAINTEXT.*; set that to SASL_SSL"),
        (
            {"security_protocol": "SSL", "sasl_username": "u"},
            "sasl_username is set, .* is SSL, which has no use for it",
        ),
        ({"ssl_ca_location": "ca"}, "ssl_ca_location is set, .*; set that to SSL or SASL_SSL"),
        (
            {"ssl_endpoint_identification_algorithm": "none"},
            "ssl_endpoint_identification_algorithm is set, but",
        ),
        (
            {"security_protocol": "SSL", "ssl_endpoint_identification_algorithm": ""},
            "ssl_endpoint_identification_algorithm is ''; it must be https or none",
        ),
        ({"security_protocol": "SSL", "ssl_key_location": "k"}, "ssl_certificate_location"),
        ({"https_ca_location": "ca"}, "https_ca_location is set, .*; set that to SASL_SSL"),
        (
            {**TOKENS, "sasl_mechanism": "PLAIN"},
            "sasl_oauthbearer_token_endpoint_url is set, .*; set that to OAUTHBEARER",
        ),
        ({**TOKENS, "sasl_password": "hush"}, "sasl_password is set, but .* is OAUTHBEARER"),
        (
            {**TOKENS, "sasl_oauthbearer_client_id": ""},
            "needs stream.sasl_oauthbearer_client_id and",
        ),
        (
            {**TOKENS, "sasl_oauthbearer_client_secret": ""},
            "needs stream.sasl_oauthbearer_client_id and",
        ),
        ({**TOKENS, "sasl_oauthbearer_client_secret_file": "f"}, "are both set; keep one"),
        *(
            (
                {**TOKENS, "sasl_oauthbearer_token_endpoint_url": url},
                "OAUTHBEARER needs https://HOST/PATH",
            )
            for url in ("", "login.example.com", "ftp://x/", "https://", "https://a b/")
        ),
        *(
            ({**TOKENS, "sasl_oauthbearer_extensions": pairs}, "must be name=value")
            for pairs in ("=x", "auth=x", "a=b,c d=e", "a=\x01auth=x")
        ),
    ],
)
def test_security_that_does_not_fit_together_is_refused(
    values: dict[str, Any], expected: str
) -> None:
    """The message names the settings, and no secret."""
    with pytest.raises(SettingsInvalid, match=expected) as raised:
        StreamSettings(**values)
    assert "hush" not in str(raised.value)


def test_secrets_are_not_in_the_text_of_settings() -> None:
    """Logs and tracebacks may show settings."""
    settings = StreamSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="u",
        sasl_password="hush",
        ssl_certificate_location="c",
        ssl_key_password="hush too",
    )
    assert "hush" not in repr(settings) + repr(StreamSettings(**TOKENS))  # type: ignore[arg-type]  # all texts
