from pathlib import Path

import pytest

from serve_apps.security_config import SecurityConfig
from wire.errors import SettingError

TLS = {"tls_cert": "cert.pem", "tls_key": "key.pem"}
BEYOND = ["0.0.0.0", "192.168.1.5", "::", "example.org", "", "127.0.0.1.example.org"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("given", [{}, {"tokens": "t"}, TLS, {"tokens": "t", **TLS}])
def test_on_loopback_everything_is_allowed(host, given):
    SecurityConfig(**given).check(host)


@pytest.mark.parametrize("host", BEYOND)
@pytest.mark.parametrize("given", [{}, TLS, {"clear": True}, {"clear": True, **TLS}])
def test_beyond_loopback_nothing_is_served_without_tokens(host, given):
    with pytest.raises(SettingError, match="without tokens the cluster does not listen on") as caught:
        SecurityConfig(**given).check(host)
    assert "--tokens" in caught.value.mend


@pytest.mark.parametrize("host", BEYOND)
def test_beyond_loopback_tokens_travel_in_the_clear_only_where_somebody_says_so(host):
    with pytest.raises(SettingError, match="in the clear") as caught:
        SecurityConfig(tokens="t").check(host)
    assert "--tls-cert" in caught.value.mend
    SecurityConfig(tokens="t", clear=True).check(host)
    SecurityConfig(tokens="t", **TLS).check(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("one", ["tls_cert", "tls_key"])
def test_a_certificate_without_its_key_is_no_tls(host, one):
    with pytest.raises(SettingError, match="a certificate and its key"):
        SecurityConfig(tokens="t", **{one: "file.pem"}).check(host)


def test_paths_are_beside_the_file_that_names_them():
    config = SecurityConfig(tokens="tokens", tls_cert="/etc/cert.pem").beside(Path("/srv/isthmus"))
    assert (config.tokens, config.tls_cert, config.tls_key) == ("/srv/isthmus/tokens", "/etc/cert.pem", None)
