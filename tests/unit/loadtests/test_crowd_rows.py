from dataclasses import replace

import numpy as np
import pytest
from adapt_fakes import made_tables, option

from loadtests.crowd_rows import Polled, ServiceCosts, samples_of
from wire.errors import SettingError
from wire.ids import OptionId, PointName
from wire.messages import LoadSignal

BEGAN = 1000.0
INPUT, MID, WHOLE = 0, 1, 2
TABLES = made_tables()
COSTS = ServiceCosts.of(TABLES, TABLES.options)


def frame(due_s, planned=MID, *, latency_ms=50.0, looks=1, where="cluster"):
    due_unix_s = BEGAN + due_s
    return {
        "due_unix_s": due_unix_s, "unix_s": due_unix_s + latency_ms / 1e3, "planned": OptionId(planned),
        "looks": looks, "where": where, "latency_ms": latency_ms,
    }  # fmt: skip


def load(point, *, utilisation, in_flight):
    return LoadSignal(
        point=PointName(point), state="ready", service_s=0.01, queue_s=0.0, utilisation=utilisation,
        in_flight=in_flight, replicas=1,
    )  # fmt: skip


def made(*agents, polled=(), others_s=()):
    return samples_of(
        agents,
        COSTS,
        began_unix_s=BEGAN,
        seconds=3,
        others_unix_s=[BEGAN + at_s for at_s in others_s],
        others=OptionId(INPUT),
        polled=polled,
    )


def test_a_frame_asks_for_its_looks_at_its_point_in_the_second_in_which_it_is_due():
    samples = made([frame(0.1), frame(0.99, looks=2), frame(1.5, INPUT), frame(2.5, WHOLE, looks=0, where="device")])
    assert samples.points == ("input", "mid")
    assert samples.offered == pytest.approx(np.array([[0, 0.03], [0.02, 0], [0, 0]]))
    assert samples.times_s.tolist() == [1, 2, 3]


def test_an_answer_counts_in_the_second_in_which_it_came_and_by_who_gave_it():
    samples = made(
        [frame(0.1, latency_ms=40), frame(0.2, latency_ms=60), frame(0.9, latency_ms=300, where="device")],
        [frame(1.1, latency_ms=20)],
    )
    assert samples.latency_s == pytest.approx(np.array([[0.05, np.nan], [0.3, 0.02], [np.nan, np.nan]]), nan_ok=True)
    assert samples.on_device == pytest.approx(np.array([0, 0.5, np.nan]), nan_ok=True)


def test_what_came_before_the_steps_or_after_them_does_not_count():
    samples = made([frame(-0.5, latency_ms=10), frame(3.0)], others_s=[-1.0, 3.1])
    assert not samples.offered.any()
    assert not samples.background.any()
    assert np.isnan(samples.latency_s).all()


def test_the_others_ask_at_their_own_point():
    assert made([], others_s=[0.1, 0.6, 2.0]).background == pytest.approx(np.array([[0.04, 0], [0, 0], [0.02, 0]]))


def test_what_was_polled_last_is_how_the_cluster_stands():
    first = Polled(
        BEGAN + 0.2, (load("input", utilisation=0.3, in_flight=2), load("mid", utilisation=0.5, in_flight=1))
    )
    samples = made([], polled=[first, Polled(BEGAN + 2.1, ())])
    assert samples.utilisation.tolist() == [0.5, 0.5, 0.5]
    assert samples.waiting.tolist() == [3, 3, 3]


def test_an_option_that_was_not_measured_costs_what_its_point_costs():
    other = option(7, "mid", "r9")
    costs = ServiceCosts.of(TABLES, (*TABLES.options, other))
    assert costs.by_option[other.id] == costs.by_option[OptionId(MID)] == (1, 0.01)


def test_tables_of_another_bundle_are_refused():
    others = [replace(each, rate="another") for each in TABLES.options]
    with pytest.raises(SettingError, match="another bundle") as refused:
        ServiceCosts.of(TABLES, others)
    assert "--tables" in refused.value.mend
