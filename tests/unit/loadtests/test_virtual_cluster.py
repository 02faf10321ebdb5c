import pytest
import simpy
from virtual_tables import COARSE_ROW, FINE_ROW, LATE_ROW, tables

from loadtests.virtual_cluster import MAX_WAITING, VirtualCluster
from loadtests.virtual_load import BackgroundLoad
from serve_apps.load_meter import LoadMeter
from wire.errors import SettingError

FRAME_S = 0.010
"""What every option takes on the cluster of these tables."""


@pytest.fixture
def env():
    return simpy.Environment()


def cluster(env, servers=1, **changes):
    return VirtualCluster(env, tables(), servers, make_meter=LoadMeter, **changes)


def answers(env, asked):
    """Run until all is answered; gives (time, what was given back) in the order of asking."""
    given = {}

    def wait(number, event):
        exchanged = yield event
        given[number] = (env.now, exchanged)

    for number, event in enumerate(asked):
        env.process(wait(number, event))
    env.run(until=env.now + 60)
    return [given[number] for number in range(len(asked))]


def test_on_an_unloaded_cluster_nothing_waits_for_anything(env):
    unloaded = VirtualCluster(env, tables())
    given = answers(env, [unloaded.exchange(FINE_ROW) for _ in range(50)])
    assert {at_s for at_s, _ in given} == {FRAME_S}
    assert {exchanged.cluster_s for _, exchanged in given} == {FRAME_S}
    assert [load.point for load in unloaded.loads()] == ["mid", "late"]
    assert {(load.service_s, load.queue_s, load.state) for load in unloaded.loads()} == {(FRAME_S, 0.0, "ready")}


def test_a_free_server_takes_all_that_waits_and_a_batch_takes_less_than_its_frames_one_by_one(env):
    given = answers(env, [(asked := cluster(env)).exchange(FINE_ROW), *(asked.exchange(FINE_ROW) for _ in range(3))])
    # The first is alone; the three that came meanwhile are a batch, of 1 + 2 × 0.6 times a frame.
    assert [at_s for at_s, _ in given] == pytest.approx([FRAME_S, *[FRAME_S * 3.2] * 3])
    assert [exchanged.cluster_s for _, exchanged in given] == pytest.approx([FRAME_S, *[FRAME_S * 3.2] * 3])
    assert asked.busy_s == pytest.approx(FRAME_S * 3.2)
    assert asked.asked_s == pytest.approx([FRAME_S * 4, 0.0])


def test_a_batch_has_a_most_and_one_graph(env):
    asked = cluster(env, max_batch=2)
    first = [asked.exchange(FINE_ROW), asked.exchange(LATE_ROW)]
    env.run(until=0.001)
    given = answers(env, [*first, *(asked.exchange(row) for row in (FINE_ROW, COARSE_ROW, FINE_ROW))])
    # Two looks of one graph meet, whatever their options; the graph whose first frame has waited longest is next.
    assert [at_s for at_s, _ in given] == pytest.approx([0.010, 0.020, 0.036, 0.036, 0.046])


def test_servers_are_shared_by_the_points_or_each_point_has_its_own(env):
    def last_s(*, shared):
        one = cluster(env, shared=shared)
        began_s = env.now
        return max(at_s for at_s, _ in answers(env, [one.exchange(FINE_ROW), one.exchange(LATE_ROW)])) - began_s

    assert last_s(shared=True) == pytest.approx(2 * FRAME_S)
    assert last_s(shared=False) == pytest.approx(FRAME_S)


def test_a_frame_too_many_is_refused_at_once(env):
    full = cluster(env)
    given = answers(env, [full.exchange(FINE_ROW) for _ in range(MAX_WAITING + 2)])
    assert [exchanged.refusal for _, exchanged in given] == [None] * (MAX_WAITING + 1) + ["overloaded"]
    assert given[-1][0] == 0.0


def test_a_frame_whose_time_is_up_is_refused_when_its_turn_comes(env):
    busy = cluster(env)
    given = answers(env, [busy.exchange(FINE_ROW), busy.exchange(FINE_ROW, budget_s=0.004)])
    assert given[1][0] == pytest.approx(FRAME_S)
    assert given[1][1].refusal == "deadline_exceeded"


def test_what_waits_is_published_while_it_does(env):
    busy = cluster(env)
    for _ in range(40):
        busy.exchange(FINE_ROW)
    env.run(until=0.200)
    (mid, late) = busy.loads()
    assert mid.in_flight > 0
    assert mid.queue_s > 0
    assert mid.service_s > FRAME_S
    assert (late.queue_s, late.in_flight) == (0.0, 0)
    env.run(until=20)
    assert busy.loads()[0].service_s == pytest.approx(FRAME_S, rel=0.02)
    assert (busy.loads()[0].queue_s, busy.waiting) == (0.0, 0)


def test_others_ask_at_the_rate_that_is_set_from_then_on(env):
    asked = cluster(env, 4)
    others = BackgroundLoad(env, asked, [FINE_ROW], budget_s=1.0, seed=3)
    env.run(until=10)
    assert sum(others.asked_s) == 0
    others.set_rate(100.0)
    env.run(until=30)
    assert sum(others.asked_s) / FRAME_S == pytest.approx(2000, rel=0.1)
    others.set_rate(0.0)
    before_s = sum(others.asked_s)
    asked.exchange(FINE_ROW)
    env.run(until=40)
    assert sum(others.asked_s) == before_s == pytest.approx(sum(asked.asked_s) - FRAME_S)


def test_others_may_ask_evenly(env):
    asked = cluster(env, 4)
    BackgroundLoad(env, asked, [FINE_ROW], budget_s=1.0, arrivals="even").set_rate(50.0)
    env.run(until=4.001)
    assert sum(asked.asked_s) == pytest.approx(200 * FRAME_S)


@pytest.mark.parametrize(("servers", "make_meter"), [(0, LoadMeter), (1, None)])
def test_a_cluster_needs_servers_and_what_tells_of_their_load(env, servers, make_meter):
    with pytest.raises(SettingError, match="servers"):
        VirtualCluster(env, tables(), servers, make_meter=make_meter)
