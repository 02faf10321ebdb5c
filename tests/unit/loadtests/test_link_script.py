import re

import pytest

from loadtests.link_script import LinkScript, LinkState, Step
from wire.errors import SettingError


def test_a_script_is_read_step_by_step_with_one_delay_for_all() -> None:
    script = LinkScript.parse("0:20,25:1.1, 50:down,65:5.85", delay_s=0.005)

    assert script.steps == (
        Step(0.0, LinkState(20.0, 0.005)),
        Step(25.0, LinkState(1.1, 0.005)),
        Step(50.0, LinkState(None, 0.005)),
        Step(65.0, LinkState(5.85, 0.005)),
    )


@pytest.mark.parametrize(
    ("t_s", "rate_mbps"),
    [(-1, 20.0), (0, 20.0), (24.999, 20.0), (25, 1.1), (50, None), (64.9, None), (65, 5.85), (1e9, 5.85)],
)
def test_a_state_holds_from_its_step_to_the_next_and_the_last_for_ever(t_s: float, rate_mbps: float) -> None:
    script = LinkScript.parse("0:20,25:1.1,50:down,65:5.85", delay_s=0.005)

    assert script.state_at(t_s).rate_mbps == rate_mbps


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no step"),
        ("20", "'20' is no step"),
        ("0:20,", "'' is no step"),
        ("0:fast", "'fast' in the step '0:fast' is no number"),
        ("now:20", "'now' in the step 'now:20' is no number"),
        ("5:20", "what the link is at 0 s"),
        ("0:20,9:5,9:1", "step 9 s of a link script does not follow step 9 s"),
        ("0:20,9:5,3:1", "step 3 s of a link script does not follow step 9 s"),
        ("0:20,inf:5", "step inf s"),
        ("0:20,nan:5", "step nan s"),
        ("0:-1", "cannot run at -1.0 Mbit/s"),
        ("0:nan", "cannot run at nan Mbit/s"),
        ("0:inf", "cannot run at inf Mbit/s"),
    ],
)
def test_a_bad_script_is_refused_with_what_is_wrong_and_how_to_mend_it(text: str, says: str) -> None:
    with pytest.raises(SettingError, match=re.escape(says)) as caught:
        LinkScript.parse(text, delay_s=0.005)

    assert caught.value.mend


@pytest.mark.parametrize("delay_s", [-0.001, float("nan"), float("inf")])
def test_a_delay_that_no_link_can_have_is_refused(delay_s: float) -> None:
    with pytest.raises(SettingError, match="cannot delay"):
        LinkState(20.0, delay_s)


@pytest.mark.parametrize("jitter_s", [-0.001, float("nan"), float("inf")])
def test_a_jitter_that_no_link_can_have_is_refused(jitter_s: float) -> None:
    with pytest.raises(SettingError, match="cannot jitter"):
        LinkState(20.0, 0.0, jitter_s)


def test_a_script_gives_every_step_the_same_jitter() -> None:
    script = LinkScript.parse("0:20,25:down", delay_s=0.005, jitter_s=0.002)

    assert [step.state.jitter_s for step in script.steps] == [0.002, 0.002]


def test_a_script_tells_a_stalled_link_from_one_that_is_down() -> None:
    script = LinkScript.parse("0:0,25:down", delay_s=0.005)

    assert [step.state.rate_mbps for step in script.steps] == [0.0, None]


def test_a_link_that_is_stalled_or_down_moves_no_bytes() -> None:
    assert LinkState(None, 0.005).bytes_per_s == 0
    assert LinkState(0.0, 0.005).bytes_per_s == 0
    assert LinkState(8.0, 0.005).bytes_per_s == 1e6
