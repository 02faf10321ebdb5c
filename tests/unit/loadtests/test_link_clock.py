import math
import random

import pytest

from loadtests.bottleneck import Bottleneck
from loadtests.link_clock import LinkClock
from loadtests.link_script import LinkScript, LinkState, Step


def script_of(text: str) -> LinkScript:
    return LinkScript.parse(text, delay_s=0.01)


def played_s(script: LinkScript, puts: list[tuple[float, int]]) -> list[float]:
    """Play a script on the bottleneck itself: when each item, put at a time in order, comes out."""
    link: Bottleneck[int] = Bottleneck(script.state_at(0))
    out_s = [math.inf] * len(puts)
    actions: list[tuple[float, int, LinkState | int]] = [(step.at_s, 0, step.state) for step in script.steps]
    actions += [(at_s, 1, number) for number, (at_s, _) in enumerate(puts)]
    for at_s, _, action in [*sorted(actions, key=lambda action: action[:2]), (math.inf, 1, None)]:
        while (event_s := link.next_event_s()) is not None and event_s <= at_s:
            for number in link.take_due(event_s):
                out_s[number] = event_s
        if isinstance(action, LinkState):
            link.set_state(action, now_s=at_s)
        elif action is not None:
            link.push(action, puts[action][1], now_s=at_s)
    return out_s


# 8 Mbit/s are a million bytes a second.
@pytest.mark.parametrize(
    ("script", "size_bytes", "at_s", "out_s"),
    [
        ("0:8", 1_000, 0.0, 0.011),
        ("0:8", 1_000, 5.0, 5.011),
        ("0:8", 0, 5.0, 5.01),
        ("0:8,1:0.8", 100_000, 0.95, 1.51),
        ("0:8,1:0,2:8", 100_000, 0.95, 2.06),
        ("0:8,1:0,2:8", 1_000, 1.5, 2.011),
        ("0:8,1:0,2:8", 0, 1.5, 1.51),
        ("0:0,1:8", 1_000, 0.0, 1.011),
        ("0:8,1:0", 50_000, 0.95, 1.01),
        ("0:8,1:0", 50_001, 0.95, math.inf),
        ("0:8,1:down", 1_000, 2.0, math.inf),
    ],
)
def test_bytes_come_out_when_the_rates_until_then_have_carried_them(
    script: str, size_bytes: int, at_s: float, out_s: float
) -> None:
    assert LinkClock(script_of(script)).delivered_s(size_bytes, at_s) == pytest.approx(out_s)


def test_bytes_wait_until_the_link_is_free_of_what_was_queued_before() -> None:
    clock = LinkClock(script_of("0:8,1:0,2:8"))
    free_at_s = clock.sent_s(100_000, 0.95)

    assert free_at_s == pytest.approx(2.05)
    assert clock.delivered_s(1_000, 1.0, free_at_s=free_at_s) == pytest.approx(2.061)
    assert clock.delivered_s(1_000, 3.0, free_at_s=free_at_s) == pytest.approx(3.011)


def test_nothing_comes_out_behind_what_never_leaves() -> None:
    clock = LinkClock(script_of("0:8,1:0"))

    assert clock.delivered_s(1, 0.5, free_at_s=clock.sent_s(1e9, 0.0)) == math.inf


def test_what_an_outage_catches_under_way_is_sent_again_behind_it() -> None:
    clock = LinkClock(script_of("0:8,1:down,2:8"))

    assert clock.delivered_s(1_000, 0.98) == pytest.approx(0.991)
    assert clock.delivered_s(1_000, 0.995) == pytest.approx(2.011)
    assert clock.delivered_s(100_000, 0.94) == pytest.approx(2.06)
    assert clock.delivered_s(1_000, 1.5) == pytest.approx(2.011)


@pytest.mark.parametrize("seed", range(20))
def test_the_clock_agrees_with_the_bottleneck_on_a_link_without_outages(seed: int) -> None:
    dice = random.Random(seed)
    at_s, steps = 0.0, []
    for _ in range(40):
        steps.append(Step(at_s, LinkState(dice.choice([0.0, 0.1, 1.0, dice.uniform(0, 20)]), 0.01)))
        at_s += dice.uniform(0.05, 1.0)
    script = LinkScript((*steps, Step(at_s, LinkState(5.0, 0.01))))
    puts = sorted((dice.uniform(0, at_s), dice.randrange(1, 100_000)) for _ in range(60))

    clock, free_at_s, out_s = LinkClock(script), 0.0, []
    for put_s, size_bytes in puts:
        out_s.append(clock.delivered_s(size_bytes, put_s, free_at_s=free_at_s))
        free_at_s = clock.sent_s(size_bytes, put_s, free_at_s=free_at_s)

    assert out_s == pytest.approx(played_s(script, puts), abs=1e-6)


@pytest.mark.parametrize("at_s", [0.98, 0.9895, 0.995, 1.0, 1.3, 1.7])
def test_the_clock_agrees_with_the_bottleneck_about_an_outage_to_within_an_item(at_s: float) -> None:
    script = script_of("0:8,1:down,1.2:0,1.4:down,1.5:4")
    puts = [(at_s, 500)] * 20
    whole_s = LinkClock(script).delivered_s(500 * 20, at_s)

    assert whole_s == pytest.approx(played_s(script, puts)[-1], abs=500 / 0.5e6)
