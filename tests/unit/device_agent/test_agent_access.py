"""How the agent comes to a cluster that asks for tokens and speaks TLS: what it sends, hides and understands."""

import dataclasses
import json
import os
import ssl
import urllib.request

import pytest

from device_agent.addresses import ServerAddress, parse_server
from device_agent.http_fetch import HttpFetch
from device_agent.refusals import refusal_of
from device_agent.settings import find_token
from device_agent.stream import _SAYS_NO_HEADERS
from device_agent.trust import tls_context
from wire.errors import (
    ClusterUnreachable,
    Forbidden,
    Overloaded,
    RateLimited,
    SettingError,
    Unauthorized,
    UnknownPoint,
)
from wire.ids import DeviceId

TOKEN = "isthmus1.payload.signature"


@pytest.fixture
def server():
    return dataclasses.replace(parse_server("ws://127.0.0.1:8765"), token=TOKEN)


def test_a_token_travels_in_a_header_and_shows_nowhere(server):
    assert server.headers == {"Authorization": f"Bearer {TOKEN}"}
    assert "signature" not in repr(server) + str(server) + server.http_base
    assert ServerAddress("h", 1, device=DeviceId("d")).headers == {}
    named = dataclasses.replace(server, device=DeviceId("Kamera ä\n"))
    assert named.headers["Isthmus-Device"] == "Kamera%20%C3%A4%0A"


def test_an_address_is_the_same_with_any_token(server):
    assert server == dataclasses.replace(server, token=None)
    assert hash(server) == hash(dataclasses.replace(server, token="other"))


@pytest.fixture
def no_token(monkeypatch):
    monkeypatch.delenv("ISTHMUS_TOKEN", raising=False)


def test_the_token_comes_from_a_file_or_else_the_environment(tmp_path, monkeypatch, no_token):
    assert find_token(None) is None
    monkeypatch.setenv("ISTHMUS_TOKEN", f"{TOKEN}-e")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert find_token(tmp_path / "token") == TOKEN
    monkeypatch.setenv("ISTHMUS_TOKEN", f"{TOKEN}-e")
    assert find_token(None) == f"{TOKEN}-e"


def test_no_process_that_the_agent_starts_inherits_the_token(monkeypatch):
    monkeypatch.setenv("ISTHMUS_TOKEN", TOKEN)
    find_token(None)
    assert "ISTHMUS_TOKEN" not in os.environ


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", b"x" * 600, b"\xff\xfe"])
def test_a_file_without_a_token_is_refused_and_not_quoted(tmp_path, no_token, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SettingError) as caught:
        find_token(tmp_path / "token")
    assert "two" not in str(caught.value)
    assert caught.value.mend


def test_a_token_file_that_is_not_there_is_said(tmp_path, no_token):
    with pytest.raises(SettingError, match="no token can be read"):
        find_token(tmp_path / "none")


def test_a_token_is_not_sent_on_where_a_redirection_leads(server, monkeypatch):
    seen = []

    class Opener:
        def open(self, request, timeout):
            seen.append(request)
            raise urllib.error.URLError("enough")

    monkeypatch.setattr(urllib.request, "build_opener", lambda *handlers: Opener())
    with pytest.raises(ClusterUnreachable):
        HttpFetch(server)("/v1/load", 10)
    (request,) = seen
    assert request.unredirected_hdrs == {"Authorization": f"Bearer {TOKEN}"}
    assert request.headers == {}


def body(code, message="no", mend="do", **more):
    return json.dumps({"code": code, "message": message, "mend": mend, "retryable": False, **more}).encode()


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, body("unauthorized"), Unauthorized),
        (403, body("forbidden"), Forbidden),
        (429, body("rate_limited"), RateLimited),
        (404, body("unknown_point"), UnknownPoint),
        (401, b"", Unauthorized),
        (403, b"<html>", Forbidden),
        (503, b"", Overloaded),
        (500, b"", ClusterUnreachable),
        (401, body("overloaded"), Unauthorized),
        (401, b"[" * 5000, Unauthorized),
        (401, body("unauthorized", message=5), Unauthorized),
        (418, body("no_such_code"), ClusterUnreachable),
    ],
)
def test_a_refusal_is_the_error_that_it_names_or_that_its_status_means(status, said, kind):
    assert type(refusal_of("the cluster", status, said)) is kind


def test_a_refusal_keeps_its_words_but_not_what_moves_a_cursor():
    error = refusal_of("the cluster", 401, body("unauthorized", message="no\x1b[2J token\n", mend="ask\x07"))
    assert (error.message, error.mend) == ("the cluster answered: no[2J token", "ask")


def test_certificates_and_names_are_checked_and_old_tls_is_not_spoken():
    context = tls_context(None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls_context(None) is context


def test_a_file_without_certificates_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SettingError, match="holds no certificates"):
        tls_context(tmp_path / "ca.pem")


def test_the_logger_that_would_say_headers_never_gets_to_that(caplog):
    caplog.set_level("DEBUG")
    assert not _SAYS_NO_HEADERS.isEnabledFor(10)
