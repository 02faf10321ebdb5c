import dataclasses

import pytest

from serve_apps.merged_load import merge_signals
from wire.ids import PointName
from wire.messages import LoadSignal
from wire.records import from_plain, to_plain

READY = LoadSignal(
    point=PointName("mid"), state="ready", service_s=0.01, queue_s=0.1, utilisation=0.5, in_flight=3, replicas=1,
    node_utilisation=0.25, triton_queue_s=0.001, triton_compute_s=0.02,
)  # fmt: skip


def like_ready(**changes):
    return dataclasses.replace(READY, **changes)


def test_the_signal_of_one_replica_is_that_of_the_point():
    assert merge_signals([READY]) == READY


def test_frames_and_replicas_are_added_and_times_and_shares_are_averaged():
    other = like_ready(service_s=0.03, queue_s=0.3, utilisation=1.0, in_flight=5, node_utilisation=0.75)
    merged = merge_signals([READY, other])
    assert (merged.in_flight, merged.replicas) == (8, 2)
    assert (merged.service_s, merged.queue_s, merged.utilisation) == pytest.approx((0.02, 0.2, 0.75))
    assert (merged.node_utilisation, merged.triton_queue_s) == pytest.approx((0.5, 0.001))
    assert from_plain(LoadSignal, to_plain(merged)) == merged


def test_a_point_stands_as_its_best_replica_and_only_those_that_stand_so_are_averaged():
    starting = like_ready(state="starting", queue_s=3.0, utilisation=0.0, in_flight=0, cold_start_s=8.0)
    leaving = like_ready(state="draining", queue_s=3.0, in_flight=4)
    merged = merge_signals([leaving, starting, READY])
    assert (merged.state, merged.queue_s, merged.replicas) == ("ready", 0.1, 1)
    assert (merged.in_flight, merged.cold_start_s) == (7, 0.0)
    assert merge_signals([leaving, starting]).state == "starting"
    assert merge_signals([leaving, starting]).cold_start_s == 8.0


def test_a_point_without_replicas_is_as_cold_as_its_only_signal_says():
    cold = like_ready(state="cold", replicas=0, in_flight=0, utilisation=0.0, cold_start_s=6.0)
    assert merge_signals([cold]) == cold


def test_what_is_already_merged_counts_by_its_replicas():
    many = like_ready(queue_s=0.5, replicas=3)
    assert merge_signals([READY, many]).queue_s == pytest.approx(0.4)
    assert merge_signals([READY, many]).replicas == 4
