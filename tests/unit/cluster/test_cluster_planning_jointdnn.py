from itertools import accumulate, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.planning.jointdnn import TOLERANCE, Limits, best_schedule, bounded_schedule
from cluster.planning.schedules import Segment
from cluster.planning.tables import RADIOS, BackwardTable, GroupTable, Link
from wire.errors import SettingError

bounded = settings(derandomize=True, deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(["drawn", "sub-additive", "additive"])
OBJECTIVES = ("latency", "energy")
FIELDS = ("energy_j", "cluster_s", "latency_s")
SLOW_TO_START = Link(
    name="test", uplink_bytes_s=2e5, downlink_bytes_s=8e5, base_s=0.004,
    alpha_up_w_per_mbps=0.3, alpha_down_w_per_mbps=0.1, beta_w=0.5,
)  # fmt: skip


def square(rng, groups, most, kind):
    """Costs of grouped executions: any at all, or never more together than apart, or the same."""
    if kind == "drawn":
        return tuple(tuple(map(float, row)) for row in rng.uniform(0, most, (groups, groups)))
    # Some groups suit a side and some do not, or no schedule would ever change sides.
    single = rng.uniform(0, most, groups) * rng.choice([0.02, 1], groups)
    sums = [[float(single[i : j + 1].sum()) for j in range(groups)] for i in range(groups)]
    if kind == "additive":
        return tuple(map(tuple, sums))
    # A concave function that is not below 0 at 0 is sub-additive.
    return tuple(tuple(0.01 * most + float(max(total, 0) ** 0.8) for total in row) for row in sums)


def squares(rng, groups, kind):
    return {
        "device_s": square(rng, groups, 0.05, kind),
        "cluster_s": square(rng, groups, 0.05, kind),
        "device_energy_j": square(rng, groups, 0.2, kind),
    }


def drawn(seed, groups, kind):
    rng = np.random.default_rng(seed)
    up, down = (tuple(map(float, rng.choice([0, 100, 1000, 5000, 20000], groups + 1))) for _ in range(2))
    table = GroupTable(**squares(rng, groups, kind), upload_bytes=up, download_bytes=down)
    link = [*RADIOS.values(), SLOW_TO_START][rng.integers(4)]
    return table, link, BackwardTable(**squares(rng, groups, kind))


def moved(table, link, boundary, to, *, training):
    """Seconds and joules of a tensor's transfer and, in training, of its gradient's on the way back."""
    ways = {"cluster": ("up",), "device": ("down",)}[to]
    if training and boundary:
        ways = ("up", "down")
    seconds = joules = 0.0
    for way in ways:
        if way == "up":
            size, rate, alpha = table.upload_bytes[boundary], link.uplink_bytes_s, link.alpha_up_w_per_mbps
        else:
            size, rate, alpha = table.download_bytes[boundary], link.downlink_bytes_s, link.alpha_down_w_per_mbps
        seconds += (link.base_s if size else 0) + size / rate
        joules += (alpha * rate * 8e-6 + link.beta_w) * size / rate
    return seconds, joules


def cost_by_hand(segments, table, link, backward=None):
    """Walk along a schedule with nothing but the tables: (energy_j, cluster_s, latency_s)."""
    at, energy_j, cluster_s, latency_s = "device", 0.0, 0.0, 0.0
    tables = [table, backward] if backward else [table]
    boundary = 0
    for segment in segments:
        assert segment.first == boundary
        if segment.side != at:
            seconds, joules = moved(table, link, boundary, segment.side, training=bool(backward))
            latency_s, energy_j, at = latency_s + seconds, energy_j + joules, segment.side
        for each in tables:
            if at == "device":
                latency_s += each.device_s[segment.first][segment.last]
                energy_j += each.device_energy_j[segment.first][segment.last]
            else:
                latency_s += each.cluster_s[segment.first][segment.last]
                cluster_s += each.cluster_s[segment.first][segment.last]
        boundary = segment.last + 1
    assert boundary == table.groups
    if at == "cluster":
        seconds, joules = moved(table, link, boundary, "device", training=bool(backward))
        latency_s, energy_j = latency_s + seconds, energy_j + joules
    return energy_j, cluster_s, latency_s


def assignments(groups):
    """All 2^n, each as its longest runs of one side."""
    for sides in product(("device", "cluster"), repeat=groups):
        starts = [i for i in range(groups) if i == 0 or sides[i] != sides[i - 1]]
        ends = [*(start - 1 for start in starts[1:]), groups - 1]
        yield tuple(Segment(a, b, sides[a]) for a, b in zip(starts, ends, strict=True))


def divided_assignments(groups):
    """All 2^n with all their divisions into grouped executions."""
    for sizes in compositions(groups):
        ends = list(accumulate(sizes))
        for sides in product(("device", "cluster"), repeat=len(sizes)):
            yield tuple(Segment(e - z, e - 1, s) for e, z, s in zip(ends, sizes, sides, strict=True))


def compositions(total):
    if not total:
        yield ()
    for first in range(1, total + 1):
        yield from ((first, *rest) for rest in compositions(total - first))


def every_cost(table, link, backward=None, schedules=divided_assignments):
    return np.array([cost_by_hand(each, table, link, backward) for each in schedules(table.groups)])


def least(costs, objective):
    return costs[:, FIELDS.index(f"{objective}_{'s' if objective == 'latency' else 'j'}")].min()


def reached(schedule, objective):
    return schedule.latency_s if objective == "latency" else schedule.energy_j


def assert_costs_are_right(schedule, table, link, backward=None):
    energy_j, cluster_s, latency_s = cost_by_hand(schedule.segments, table, link, backward)
    assert schedule.energy_j == pytest.approx(energy_j)
    assert schedule.cluster_s == pytest.approx(cluster_s)
    assert schedule.latency_s == pytest.approx(latency_s)
    whole_s = table.cluster_s[0][-1] + (backward.cluster_s[0][-1] if backward else 0)
    assert schedule.cluster_share == pytest.approx(cluster_s / whole_s)


@pytest.mark.parametrize("objective", OBJECTIVES)
@bounded
@given(seed=seeds, groups=st.integers(1, 7), kind=st.sampled_from(["sub-additive", "additive"]), training=st.booleans())
def test_the_shortest_path_is_the_best_of_all_assignments_where_together_is_not_dearer(
    seed, groups, kind, training, objective
):
    table, link, backward = drawn(seed, groups, kind)
    backward = backward if training else None
    schedule = best_schedule(table, link, objective=objective, backward=backward)
    costs = every_cost(table, link, backward, assignments)
    assert reached(schedule, objective) == pytest.approx(least(costs, objective), rel=1e-9)
    assert_costs_are_right(schedule, table, link, backward)


@pytest.mark.parametrize("objective", OBJECTIVES)
@bounded
@given(seed=seeds, groups=st.integers(1, 5), training=st.booleans())
def test_the_shortest_path_is_the_best_of_all_divided_assignments_whatever_the_table(seed, groups, training, objective):
    table, link, backward = drawn(seed, groups, "drawn")
    backward = backward if training else None
    schedule = best_schedule(table, link, objective=objective, backward=backward)
    costs = every_cost(table, link, backward)
    assert reached(schedule, objective) == pytest.approx(least(costs, objective), rel=1e-9)
    assert_costs_are_right(schedule, table, link, backward)


def test_seven_groups_whose_costs_know_no_order_are_planned_as_well_as_by_trying_all():
    table, link, _ = drawn(7, 7, "drawn")
    costs = every_cost(table, link)
    for objective in OBJECTIVES:
        found = best_schedule(table, link, objective=objective)
        assert reached(found, objective) == pytest.approx(least(costs, objective), rel=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
@bounded
@given(seed=seeds, groups=st.integers(1, 7), kind=kinds, training=st.booleans())
def test_without_limits_the_integer_program_agrees_with_the_shortest_path(seed, groups, kind, training, objective):
    table, link, backward = drawn(seed, groups, kind)
    backward = backward if training else None
    path = best_schedule(table, link, objective=objective, backward=backward)
    program = bounded_schedule(table, link, objective=objective, limits=Limits(), backward=backward)
    assert program.latency_s == pytest.approx(path.latency_s, rel=1e-5)
    assert program.energy_j == pytest.approx(path.energy_j, rel=1e-5)
    assert_costs_are_right(program, table, link, backward)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("limited", [("energy_j",), ("cluster_s",), ("latency_s",), FIELDS], ids="-".join)
@bounded
@given(seed=seeds, groups=st.integers(1, 5), kind=kinds, training=st.booleans(), rank=st.floats(0, 1))
def test_within_limits_the_integer_program_is_the_best_of_all_that_keep_them(
    seed, groups, kind, training, rank, limited, objective
):
    table, link, backward = drawn(seed, groups, kind)
    backward = backward if training else None
    costs = every_cost(table, link, backward)
    most = {name: middle(costs[:, FIELDS.index(name)], rank) for name in limited}
    kept = np.all([costs[:, FIELDS.index(name)] <= limit for name, limit in most.items()], axis=0)
    if not kept.any():
        with pytest.raises(SettingError, match="at once"):
            bounded_schedule(table, link, objective=objective, limits=Limits(**most), backward=backward)
        return
    schedule = bounded_schedule(table, link, objective=objective, limits=Limits(**most), backward=backward)
    assert reached(schedule, objective) == pytest.approx(least(costs[kept], objective), rel=2e-6, abs=1e-12)
    assert all(getattr(schedule, name) <= limit * (1 + TOLERANCE) for name, limit in most.items())
    assert_costs_are_right(schedule, table, link, backward)


def middle(values, rank):
    """A limit between two costs that differ by more than the solver's tolerance, or above all."""
    ordered = np.sort(values)
    gaps = np.flatnonzero(np.diff(ordered) > 1e-5 * ordered[1:])
    if not len(gaps):
        return float(ordered[-1] + 1)
    place = gaps[int(rank * (len(gaps) - 1))]
    return float(ordered[place : place + 2].mean())


@pytest.mark.parametrize("seed", range(10))
def test_a_limit_that_the_best_schedule_just_meets_leaves_it_standing(seed):
    table, link, _ = drawn(seed, 5, "sub-additive")
    best = best_schedule(table, link, objective="latency")
    limits = Limits(energy_j=best.energy_j, cluster_s=best.cluster_s, latency_s=best.latency_s)
    assert bounded_schedule(table, link, objective="latency", limits=limits).segments == best.segments


@pytest.mark.parametrize("name", ["energy_j", "latency_s"])
def test_a_limit_below_the_least_there_is_is_named_with_that_least(name):
    table, link, _ = drawn(3, 4, "sub-additive")
    least_there_is = every_cost(table, link)[:, FIELDS.index(name)].min()
    with pytest.raises(SettingError, match=rf"{name} at .* least there is is {least_there_is:.4g} ") as raised:
        bounded_schedule(table, link, objective="latency", limits=Limits(**{name: least_there_is * 0.99}))
    assert name in raised.value.mend


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_limit_below_zero_is_refused_by_its_name(name, limit):
    with pytest.raises(SettingError, match=name):
        Limits(**{name: limit})


def test_a_cluster_that_gives_no_time_leaves_all_to_the_device():
    table, link, _ = drawn(3, 5, "sub-additive")
    schedule = bounded_schedule(table, link, objective="energy", limits=Limits(cluster_s=0))
    assert schedule.segments == (Segment(0, 4, "device"),)
    assert schedule.cluster_share == 0


def test_a_schedule_changes_sides_as_often_as_it_pays():
    """The first and last groups are dear on the cluster, the one between on the device."""
    fast, slow = 0.001, 1.0
    device = ((fast, slow, slow), (0.0, slow, slow), (0.0, 0.0, fast))
    cluster = ((slow, slow, slow), (0.0, fast, slow), (0.0, 0.0, slow))
    small = (100.0,) * 4
    table = GroupTable(
        device_s=device, cluster_s=cluster, device_energy_j=device, upload_bytes=small, download_bytes=small
    )
    schedule = best_schedule(table, RADIOS["wifi"], objective="latency")
    assert [each.side for each in schedule.segments] == ["device", "cluster", "device"]
    assert schedule.cluster_share == pytest.approx(0.001)


def test_groups_are_executed_together_because_the_table_says_that_it_is_faster():
    together = ((1.0, 1.1), (0.0, 1.0))
    never = ((9.0, 9.0), (0.0, 9.0))
    table = GroupTable(
        device_s=together, cluster_s=never, device_energy_j=together, upload_bytes=(1, 1, 1), download_bytes=(1, 1, 1)
    )
    schedule = best_schedule(table, RADIOS["wifi"], objective="latency")
    assert schedule.segments == (Segment(0, 1, "device"),)
    assert schedule.latency_s == 1.1


def test_of_schedules_with_equal_energy_the_faster_one_is_given():
    """Whatever the cluster does costs the device nothing: only latency tells its groupings apart."""
    device, cluster = ((9.0, 9.0), (0.0, 9.0)), ((1.0, 1.1), (0.0, 1.0))
    table = GroupTable(
        device_s=device, cluster_s=cluster, device_energy_j=device, upload_bytes=(1, 1, 1), download_bytes=(1, 1, 1)
    )
    whole = (Segment(0, 1, "cluster"),)
    assert best_schedule(table, RADIOS["wifi"], objective="energy").segments == whole
    assert bounded_schedule(table, RADIOS["wifi"], objective="energy", limits=Limits()).segments == whole


def test_a_training_step_on_the_cluster_sends_the_input_once_and_moves_the_output_and_its_gradient():
    link = Link(name="test", uplink_bytes_s=100, downlink_bytes_s=1000)
    costly, cheap = ((1000.0,),), ((1.0,),)
    table = GroupTable(
        device_s=costly, cluster_s=cheap, device_energy_j=costly, upload_bytes=(500, 100), download_bytes=(7, 100)
    )
    backward = BackwardTable(device_s=costly, cluster_s=((2.0,),), device_energy_j=costly)
    schedule = best_schedule(table, link, objective="latency", backward=backward)
    assert schedule.latency_s == pytest.approx(500 / 100 + 1 + 2 + 100 / 1000 + 100 / 100)
    assert schedule.cluster_s == 3.0


def test_a_backward_table_of_another_chain_is_refused():
    table, link, _ = drawn(0, 3, "drawn")
    _, _, backward = drawn(0, 2, "drawn")
    with pytest.raises(SettingError, match="2 groups does not fit 3"):
        best_schedule(table, link, objective="latency", backward=backward)
