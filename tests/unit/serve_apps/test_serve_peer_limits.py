import contextlib

import pytest

from serve_apps import peer_limits
from serve_apps.peer_limits import Bucket, PeerLimits, Peers
from wire.errors import Overloaded, RateLimited

LIMITS = PeerLimits(connections=2, frames_s=10.0, bytes_s=1000.0, held_bytes=2**20)


@pytest.fixture
def peers():
    return Peers(LIMITS, by_device=True)


@pytest.fixture
def peer(peers):
    with peers.connected("camera-1", now_s=0.0) as connected:
        yield connected


def test_a_bucket_gives_its_depth_at_once_and_then_its_rate():
    bucket = Bucket(10.0, 5.0, now_s=0.0)
    for _ in range(5):
        assert bucket.wait_s(1.0, now_s=0.0) == 0.0
        bucket.take(1.0)
    assert bucket.wait_s(1.0, now_s=0.0) == pytest.approx(0.1)
    assert bucket.wait_s(1.0, now_s=0.05) == pytest.approx(0.05)
    assert bucket.wait_s(1.0, now_s=0.1001) == 0.0


def test_a_bucket_never_holds_more_than_its_depth():
    bucket = Bucket(10.0, 5.0, now_s=0.0)
    bucket.take(5.0)
    assert bucket.wait_s(6.0, now_s=1000.0) == 0.0
    bucket.take(6.0)
    assert bucket.wait_s(1.0, now_s=1000.0) == pytest.approx(0.2)


def test_a_device_may_send_a_burst_and_then_its_rate(peer):
    sent = sum(peer.spend(1, now_s=0.0) == 0.0 for _ in range(50))
    assert sent == 20
    sent = sum(peer.spend(1, now_s=step * 0.01) == 0.0 for step in range(1, 1001))
    assert 99 <= sent <= 101


def test_large_frames_are_held_to_the_bytes_they_have(peer):
    assert peer.spend(1500, now_s=0.0) == 0.0
    assert peer.spend(1500, now_s=0.0) == pytest.approx(1.0)
    assert peer.spend(1500, now_s=1.0) == 0.0


def test_a_frame_that_is_refused_costs_nothing(peer):
    assert peer.spend(2000, now_s=0.0) == 0.0
    for _ in range(100):
        assert peer.spend(1000, now_s=0.0) == pytest.approx(1.0)
    assert peer.spend(1000, now_s=1.0) == 0.0


def test_a_connection_over_the_limit_is_refused_until_one_ends(peers):
    with contextlib.ExitStack() as stack:
        stack.enter_context(peers.connected("a", now_s=0.0))
        with peers.connected("a", now_s=0.0):
            with pytest.raises(RateLimited, match="'a' has 2 connections"), peers.connected("a", now_s=0.0):
                pass
            with peers.connected("b", now_s=0.0):
                pass
        with peers.connected("a", now_s=0.0):
            pass


def test_all_connections_of_a_device_share_its_rate(peers):
    with peers.connected("a", now_s=0.0) as one, peers.connected("a", now_s=0.0) as other:
        assert sum(each.spend(1, now_s=0.0) == 0.0 for _ in range(20) for each in (one, other)) == 20


def test_a_device_does_not_get_a_new_burst_by_connecting_again(peers):
    for attempt in range(3):
        with peers.connected("a", now_s=0.0) as peer:
            assert sum(peer.spend(1, now_s=0.0) == 0.0 for _ in range(30)) == (20 if attempt == 0 else 0)


def test_devices_that_are_gone_are_forgotten_and_those_in_debt_are_not(peers, monkeypatch):
    monkeypatch.setattr(peer_limits, "FORGET_AT", 10)
    with peers.connected("in debt", now_s=1000.0) as debtor, peers.connected("open", now_s=0.0):
        debtor.spend(1500, now_s=1000.0)
        for number in range(200):
            with peers.connected(f"d{number}", now_s=1000.0):
                pass
            assert len(peers) <= 10
    with peers.connected("in debt", now_s=1000.0) as debtor:
        assert debtor.spend(1500, now_s=1000.0) > 0.0


def test_what_all_devices_have_sent_may_only_be_so_much(peers):
    peers.hold(2**19)
    peers.hold(2**19)
    with pytest.raises(Overloaded) as caught:
        peers.hold(1)
    assert caught.value.retryable
    peers.release(2**19)
    peers.hold(1)
    assert peers.held_bytes == 2**19 + 1


def test_without_tokens_names_are_not_counted_but_memory_is():
    peers = Peers(LIMITS, by_device=False)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            assert stack.enter_context(peers.connected("same", now_s=0.0)) is None
    assert len(peers) == 0
    with pytest.raises(Overloaded):
        peers.hold(2**20 + 1)


def test_a_body_may_take_longer_the_more_of_it_has_come():
    limits = PeerLimits(body_s=10.0, body_bytes_s=1000.0)
    assert (limits.body_time_s(0), limits.body_time_s(5000)) == (10.0, 15.0)
