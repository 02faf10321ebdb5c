from dataclasses import replace
from email.message import Message
from email.utils import formatdate
from urllib.error import HTTPError

import pytest
from doctor_fakes import FAR, LOOPBACK, FakeFetch, loads_page, one, signal, version_page

from device_agent.doctor.clock_check import ClockCheck
from device_agent.doctor.deployment import Deployment
from device_agent.doctor.token_check import ASKED, TokenCheck
from device_agent.doctor.version_check import VersionCheck
from wire.errors import ClusterUnreachable, Forbidden, IsthmusError, Unauthorized, UnsupportedVersion
from wire.ids import DeviceId

NOW_S = 1_800_000_000.0
TOKEN = "isthmus1.payload.signature"
VERSION = "/v1/version"


def version_check(
    page: bytes | IsthmusError, *, deployment: Deployment | None = None, speaks_tls: bool = False
) -> VersionCheck:
    fetch = FakeFetch({VERSION: page})
    return VersionCheck(deployment or Deployment(FAR), fetch, speaks_tls=lambda: speaks_tls, own_release="1.0")


def http_error(code: int) -> ClusterUnreachable:
    error = ClusterUnreachable(f"HTTP {code}")
    error.__cause__ = HTTPError("http://edge.example", code, "words", Message(), None)
    return error


def test_a_cluster_is_known_by_its_version_which_later_checks_use() -> None:
    deployment = Deployment(FAR)
    finding = one(version_check(version_page(), deployment=deployment))
    assert finding.sentence == "Isthmus 1.0 answers, as here; both speak protocol 1"
    assert deployment.version is not None
    other = one(version_check(version_page(isthmus="2.0")))
    assert (other.verdict, other.sentence) == ("ok", "Isthmus 2.0 answers, and 1.0 here; both speak protocol 1")


def test_another_protocol_is_a_failure_that_says_who_is_older() -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        one(version_check(version_page(protocol=2)))
    assert caught.value.mend == "upgrade the older side"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (http_error(503), "no cluster behind"),
        (http_error(502), "no cluster behind"),
        (http_error(404), "answers HTTP 404 where an Isthmus cluster says its version"),
        (b"<html>", "is no Isthmus cluster"),
        (ClusterUnreachable("cut"), "cut"),
    ],
)
def test_what_answers_and_is_no_cluster_is_said(page: bytes | IsthmusError, words: str) -> None:
    with pytest.raises(ClusterUnreachable, match=words):
        one(version_check(page))


def test_tls_where_url_says_none_is_said() -> None:
    with pytest.raises(ClusterUnreachable) as caught:
        one(version_check(ClusterUnreachable("cut"), speaks_tls=True))
    assert caught.value.message == "edge.example:8765 speaks TLS, and URL says that it does not"
    assert "wss://" in caught.value.mend


def clock_check(ahead_s: float, *, round_trip_s: float = 0.0) -> ClockCheck:
    # As a server that makes its header once a second: on the mean a second behind.
    times = iter([NOW_S, NOW_S + round_trip_s])
    date = formatdate(NOW_S + round_trip_s / 2 + ahead_s - 1.0, usegmt=True)
    return ClockCheck(FakeFetch({VERSION: version_page()}, date=date), now=lambda: next(times))


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "words"),
    [
        (0, "ok", "the clocks agree within 2 s"),
        (2, "ok", "the clocks agree within 2 s"),
        (-2, "ok", "the clocks agree within 2 s"),
        (5, "warn", "the cluster's clock is 5 s ahead of this machine's"),
        (-59, "warn", "the cluster's clock is 59 s behind this machine's"),
        (-61, "fail", "the cluster's clock is 61 s behind this machine's"),
        (7200, "fail", "the cluster's clock is 2.0 hours ahead of this machine's"),
    ],
)
def test_clocks_are_compared_with_a_warning_over_two_seconds_and_a_failure_over_sixty(
    ahead_s: float, verdict: str, words: str
) -> None:
    finding = one(clock_check(ahead_s))
    assert finding.verdict == verdict
    assert words in finding.sentence
    assert finding.figures["ahead_s"] == pytest.approx(ahead_s, abs=0.01)


def test_a_slow_round_trip_is_not_taken_for_a_clock_that_is_wrong() -> None:
    assert one(clock_check(5, round_trip_s=8)).verdict == "ok"
    assert one(clock_check(65, round_trip_s=20)).verdict == "warn"


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_a_cluster_that_does_not_say_the_time_is_a_warning(date: str | None) -> None:
    finding = one(ClockCheck(FakeFetch({VERSION: version_page()}, date=date)))
    assert (finding.verdict, finding.sentence) == (
        "warn", "the cluster does not say what time it is, so the clocks are not compared",
    )  # fmt: skip


REFUSED = Unauthorized("http://edge.example/v1/load answered: this cluster asks for a token", mend="give one")
LET_IN = loads_page(signal())


def token_check(with_token: bytes | IsthmusError, without: bytes | IsthmusError, *, token: str | None = TOKEN,
                server=FAR) -> TokenCheck:  # fmt: skip
    server = replace(server, token=token, device=DeviceId("camera-1"))
    return TokenCheck(server, FakeFetch({ASKED: with_token}), FakeFetch({ASKED: without}))


def test_a_good_token_is_taken_as_that_of_its_device_and_not_shown() -> None:
    finding = one(token_check(LET_IN, REFUSED))
    assert (finding.verdict, finding.sentence) == ("ok", "the cluster takes the token, as that of camera-1")
    assert "payload" not in str(finding)


def test_a_token_that_is_missing_is_a_failure() -> None:
    finding = one(token_check(REFUSED, REFUSED, token=None))
    assert (finding.verdict, finding.sentence) == ("fail", "the cluster asks for a token, and none is given")
    assert "--token-file" in finding.mend


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            Unauthorized("http://h/v1/load answered: the token of 'camera-1' has expired", mend="ask"),
            "the cluster does not take the token: the token of 'camera-1' has expired",
        ),
        (
            Forbidden("http://h/v1/load answered: the token is that of 'b', not of 'a'", mend="ask"),
            "the token does not allow this: the token is that of 'b', not of 'a'",
        ),
    ],
)
def test_a_token_that_is_refused_is_a_failure_in_the_clusters_own_words(error: IsthmusError, sentence: str) -> None:
    finding = one(token_check(error, REFUSED))
    assert (finding.verdict, finding.sentence, finding.mend) == ("fail", sentence, "ask")
    assert finding.figures == {"asks": True, "code": error.code}


def test_a_cluster_that_lets_everybody_in_is_a_warning_but_on_loopback() -> None:
    far = one(token_check(LET_IN, LET_IN, token=None))
    assert (far.verdict, far.sentence) == ("warn", "the cluster lets in everybody who can reach it")
    near = one(token_check(LET_IN, LET_IN, token=None, server=LOOPBACK))
    assert (near.verdict, near.sentence) == ("ok", "the cluster asks for no token on loopback")
    assert one(token_check(LET_IN, LET_IN)).sentence.endswith(", so that the token proves nothing")


def test_an_answer_that_is_neither_yes_nor_no_is_no_matter_of_the_token() -> None:
    with pytest.raises(ClusterUnreachable):
        one(token_check(LET_IN, ClusterUnreachable("HTTP 500")))
