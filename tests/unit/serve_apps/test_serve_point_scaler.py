import pickle
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from serve_apps import point_scaler
from serve_apps.point_config import PointConfig
from serve_apps.point_scaler import PointScaler, replica_loads, stats_of
from serve_apps.scaling import ReplicaLoad
from wire.records import to_plain

BUSY = ReplicaLoad(busy=1.0, queue_s=0.2, arrived_s=90.0, answered_s=80.0, streams=3, idle_s=0.0)


@dataclass(frozen=True)
class Sample:
    """As Serve keeps a number that a replica reported."""

    timestamp: float
    value: float


def metrics_of(loads):
    """Lay reports out as Serve gives them to a policy: by name, by replica, and in time."""
    return {
        name: {replica: [Sample(1.0, 0.0), Sample(2.0, value)] for replica, load in loads.items()
               for key, value in stats_of(load).items() if key == name}
        for name in stats_of(BUSY)
    }  # fmt: skip


def context(loads, *, target=1):
    return SimpleNamespace(
        target_num_replicas=target,
        current_num_replicas=len(loads),
        running_replicas=list(loads),
        raw_metrics=metrics_of(loads),
    )


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(point_scaler.time, "monotonic", lambda: now.s)
    return now


def test_what_a_replica_reports_arrives_at_the_policy_unchanged():
    assert replica_loads(metrics_of({"one": BUSY}), ["one"]) == [BUSY]


def test_a_replica_that_has_not_reported_everything_yet_is_left_out():
    metrics = metrics_of({"one": BUSY})
    metrics["idle_s"] = {"two": [Sample(1.0, 0.0)]}
    assert replica_loads(metrics, ["one", "two", "three"]) == []


def test_a_point_under_load_grows_within_two_seconds_and_not_beyond_its_bound(clock):
    scaler, target = PointScaler(**to_plain(PointConfig(min=1, max=3))), 1
    began_s = clock.s
    while target == 1:
        clock.s += 0.1  # as often as Serve's controller asks
        target, state = scaler(context({"one": BUSY}, target=target))
        assert state == {}
    assert 1 < target <= 3
    assert clock.s - began_s <= 2.0


def test_a_point_that_sleeps_is_left_asleep_until_serve_wakes_it(clock):
    scaler = PointScaler(**to_plain(PointConfig(min=0, max=3)))
    for _ in range(20):
        clock.s += 0.5
        assert scaler(context({}, target=0))[0] == 0


def test_the_policy_can_travel_to_serves_controller():
    assert pickle.loads(pickle.dumps(PointScaler)) is PointScaler
