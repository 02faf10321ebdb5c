from loadtests.steady_profile import ROUNDS_MAX, STEADY_ROUNDS, steady
from wire.ids import OptionId

A, B = OptionId(1), OptionId(2)


def rounds(*profiles):
    """What was kept of these rounds, and how many were needed; the last goes on for ever."""
    heard = []

    def measure():
        heard.append(None)
        return dict(zip((A, B), profiles[min(len(heard), len(profiles)) - 1], strict=True))

    return steady(measure, on_round=lambda _: None)


def test_a_quiet_machine_needs_one_round_and_those_that_show_it():
    assert rounds((1.0, 2.0)) == ({A: 1.0, B: 2.0}, 1 + STEADY_ROUNDS)


def test_every_option_has_its_least_seconds_of_all_rounds():
    best, _ = rounds((1.0, 9.0), (5.0, 2.0), (5.0, 5.0))
    assert best == {A: 1.0, B: 2.0}


def test_as_long_as_something_falls_it_is_measured_again():
    falling = [(1.0, 2.0 * 0.9**number) for number in range(100)]
    best, count = rounds(*falling)
    assert count == ROUNDS_MAX
    assert best[B] == falling[ROUNDS_MAX - 1][1]


def test_a_fall_of_next_to_nothing_is_none():
    assert rounds((1.0, 2.0), (1.0, 1.99), (1.0, 1.98))[1] == 1 + STEADY_ROUNDS
