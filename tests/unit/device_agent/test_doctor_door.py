import errno
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_fakes import FAR, LOOPBACK, FakeDoor, one

from device_agent.doctor import door as door_module
from device_agent.doctor.door import Certificate, Door, _certificate
from device_agent.doctor.door_checks import ReachCheck, TlsCheck
from device_agent.doctor.door_faults import unknown_name, unreachable, untrusted
from wire.errors import ClusterUnreachable

DAY_S = 86400.0
NOW_S = 1_800_000_000.0
PLACE = "edge.example:8765"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refuses the connection"),
        (TimeoutError("timed out"), "does not answer within 5 s"),
        (OSError(errno.ETIMEDOUT, "timed out"), "does not answer within 5 s"),
        (OSError(errno.ENETUNREACH, "unreachable"), "has no route to"),
        (OSError(errno.EHOSTUNREACH, "unreachable"), "has no route to"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer"),
        (OSError(), "OSError"),
    ],
)
def test_each_way_not_to_get_a_connection_has_its_sentence_and_a_mend(error: OSError, words: str) -> None:
    said = unreachable(PLACE, error, timeout_s=5.0)
    assert words in said.message
    assert PLACE in said.message
    assert said.mend


def test_a_name_that_nobody_knows_is_told_from_a_dns_server_that_is_away() -> None:
    unknown = unknown_name("edge.example", socket.gaierror(socket.EAI_NONAME, "unknown"))
    away = unknown_name("edge.example", socket.gaierror(socket.EAI_AGAIN, "again"))
    assert unknown.message == "the name 'edge.example' is not found"
    assert "no DNS server answers" in away.message


def bad_certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "a reason of OpenSSL's"
    return error


def no_tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (bad_certificate(10), "the certificate of 'edge.example' has expired"),
        (bad_certificate(9), "is not valid yet"),
        (bad_certificate(62), "is for another name than 'edge.example'"),
        (bad_certificate(64), "is for another name than 'edge.example'"),
        (bad_certificate(18), "nobody whom this machine trusts vouches for"),
        (bad_certificate(20), "nobody whom this machine trusts vouches for"),
        (bad_certificate(23), "a reason of OpenSSL's"),
        (no_tls("WRONG_VERSION_NUMBER"), "does not speak TLS"),
        (no_tls("TLSV1_ALERT_PROTOCOL_VERSION"), "TLSV1_ALERT_PROTOCOL_VERSION"),
        (TimeoutError("timed out"), "does not answer to TLS within 5 s"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_each_way_to_distrust_has_its_sentence_and_a_mend(error: OSError, words: str) -> None:
    said = untrusted(FAR, PLACE, error, timeout_s=5.0)
    assert words in said.message
    assert said.mend


def test_an_authority_of_the_users_own_is_named_when_it_did_not_sign() -> None:
    said = untrusted(replace(FAR, ca=Path("ca.pem")), PLACE, bad_certificate(19), timeout_s=5.0)
    assert said.message == "nobody in ca.pem vouches for the certificate of 'edge.example'"


def test_a_name_is_shown_with_its_addresses_and_an_address_by_itself() -> None:
    assert one(ReachCheck(FakeDoor())).sentence == "edge.example:8765 (10.0.0.7) takes connections, after 2.0 ms"
    door = FakeDoor(addresses=("127.0.0.1",))
    door.place = "127.0.0.1:8765"
    assert one(ReachCheck(door)).sentence == "127.0.0.1:8765 takes connections, after 2.0 ms"


def test_a_proxy_between_is_said() -> None:
    door = FakeDoor()
    door.proxy, door.place = ("proxy", 3128), "proxy:3128"
    assert one(ReachCheck(door)).sentence.startswith("the proxy proxy:3128 (10.0.0.7) takes connections")


def test_a_port_that_nobody_listens_at_is_a_failure() -> None:
    with pytest.raises(ClusterUnreachable, match="gone"):
        one(ReachCheck(FakeDoor(connect=ClusterUnreachable("gone"))))


@pytest.mark.parametrize(("days", "verdict"), [(300, "ok"), (14.5, "ok"), (13.5, "warn"), (0.5, "warn")])
def test_a_certificate_that_expires_soon_is_a_warning(days: float, verdict: str) -> None:
    certificate = Certificate(("edge.example",), "Some Authority", NOW_S + days * DAY_S)
    server = replace(FAR, secure=True)
    finding = one(TlsCheck(server, FakeDoor(certificate=certificate), now=lambda: NOW_S))
    assert finding.verdict == verdict
    assert (finding.mend != "") == (verdict == "warn")
    assert finding.figures["days_left"] == days


def test_frames_in_the_clear_are_a_warning_but_on_loopback_and_a_token_is_named() -> None:
    assert one(TlsCheck(LOOPBACK, FakeDoor())).verdict == "ok"
    assert one(TlsCheck(FAR, FakeDoor())).sentence.startswith("every frame travels in the clear")
    with_token = one(TlsCheck(replace(FAR, token="isthmus1.a.b"), FakeDoor()))
    assert (with_token.verdict, "the token and every frame" in with_token.sentence) == ("warn", True)
    assert "isthmus1" not in str(with_token)


def test_what_python_says_of_a_certificate_is_read() -> None:
    said = {
        "subject": ((("commonName", "edge.example"),),),
        "issuer": ((("countryName", "DE"),), (("organizationName", "Some Authority"),), (("commonName", "R3"),)),
        "notAfter": "Jan 15 08:00:00 2027 GMT",
        "subjectAltName": (("DNS", "edge.example"), ("IP Address", "10.0.0.7")),
    }
    read = _certificate(said)
    assert (read.names, read.issuer) == (("edge.example", "10.0.0.7"), "Some Authority")
    assert read.until_s == NOW_S


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module.urllib.request, "getproxies", lambda: {"https": "http://proxy:3128"})
    monkeypatch.setattr(door_module.urllib.request, "proxy_bypass", lambda host: host == "near.example")


@pytest.mark.usefixtures("proxies")
def test_the_door_of_a_proxy_is_tried_where_the_environment_names_one() -> None:
    assert Door(replace(FAR, secure=True), timeout_s=1.0).place == "proxy:3128"
    assert Door(replace(FAR, secure=True, host="near.example"), timeout_s=1.0).proxy is None
    assert Door(FAR, timeout_s=1.0).proxy is None
    assert Door(replace(LOOPBACK, secure=True), timeout_s=1.0).proxy is None
    assert Door(replace(FAR, host="::1"), timeout_s=1.0).place == "[::1]:8765"
