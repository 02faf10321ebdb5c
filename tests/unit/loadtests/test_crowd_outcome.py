import json

import numpy as np
import pytest
from virtual_tables import device

from loadtests.adapt_outcome import Loads
from loadtests.crowd_figures import SWING_WANTED
from loadtests.crowd_outcome import CALM, RESTLESS, CrowdOutcome, CrowdPlayed, parse_steps
from loadtests.crowd_picture import draw_crowd
from loadtests.crowd_simulation import Crowd, CrowdSamples, LoadStep
from loadtests.link_script import LinkScript
from wire.errors import SettingError
from wire.ids import PointName

AGENTS = 3
CROWD = Crowd(
    agents=AGENTS,
    servers=1,
    steps=(LoadStep(20, 0.0), LoadStep(20, 0.5)),
    script=LinkScript.parse("0:20", delay_s=0.005),
    device=device(fps=5.0, frames=0),
)


def samples(total):
    total = np.asarray(total, float)
    return CrowdSamples(
        points=(PointName("a"), PointName("b")),
        times_s=np.arange(1.0, len(total) + 1),
        offered=np.column_stack([total / 4, total * 3 / 4]),
        background=np.zeros((len(total), 2)),
        utilisation=np.full(len(total), 0.5),
        waiting=np.zeros(len(total)),
        latency_s=np.tile([0.05, 0.05, 0.09], (len(total), 1)),
        on_device=np.zeros(len(total)),
    )


def played():
    damped = [1.0] * 20 + [0.7] * 2 + [0.5] * 18
    swinging = [1.0] * 20 + [0.1] + [0.5 + 0.4 * (second % 10 < 5) for second in range(19)]
    return CrowdPlayed(crowd=CROWD, samples={CALM: samples(damped), RESTLESS: samples(swinging)})


def test_steps_are_read_as_seconds_and_shares():
    assert parse_steps("20:0,30.5:200") == (LoadStep(20, 0.0), LoadStep(30.5, 2.0))


@pytest.mark.parametrize("text", ["", "20", "20:x", "1:5", "20:-1", "inf:3", "20:nan"])
def test_steps_that_say_nothing_are_refused_with_their_form(text):
    with pytest.raises(SettingError) as refused:
        parse_steps(text)
    assert "SECONDS:PERCENT" in refused.value.mend


def test_a_load_that_comes_down_and_stays_is_kept_without_overshoot():
    first, second = played().reports(CALM)
    assert first.kept
    assert second.kept
    assert second.overshoot == 0
    assert second.swing_of_all == pytest.approx(0.0)
    assert second.latency_p95_s == pytest.approx(0.09)


def test_a_load_that_falls_too_far_overshoots_by_the_share_of_where_it_comes_to():
    _, second = played().reports(RESTLESS)
    assert not second.kept
    assert second.overshoot == pytest.approx(1 - 0.1 / second.figures.offered)
    assert SWING_WANTED < second.swing_of_all <= 0.4 / 2 / second.figures.offered


def test_the_picture_shows_virtual_and_real_and_is_small(tmp_path):
    loads = Loads(0.1, 0.2, 2)
    both = CrowdOutcome(device="made", loads=loads, virtual=played(), real=played())
    alone = CrowdOutcome(device="made", loads=loads, virtual=played(), real=None)
    paths = [draw_crowd(outcome, tmp_path / f"{n}.png") for n, outcome in enumerate((both, alone))]
    sizes = [path.stat().st_size for path in paths]
    assert sizes[1] < sizes[0] < 120_000


def test_a_picture_of_a_crowd_that_cannot_be_written_is_a_setting_error(tmp_path):
    (tmp_path / "file").write_text("")
    outcome = CrowdOutcome(device="made", loads=Loads(0.1, 0.2, 2), virtual=played(), real=None)
    with pytest.raises(SettingError, match="cannot be written"):
        draw_crowd(outcome, tmp_path / "file" / "crowd.png")


def test_the_json_has_every_second_and_every_step():
    outcome = CrowdOutcome(device="made", loads=Loads(0.1, 0.2, 2), virtual=played(), real=None)
    plain = json.loads(json.dumps(outcome.as_plain()))
    run = plain["virtual"]["runs"][CALM]
    assert len(run["offered"]) == len(run["mean_latency_ms"]) == CROWD.seconds
    assert {"settle_s", "swing", "oscillates", "fairness", "overshoot", "kept"} <= set(run["steps"][1])
    assert "real" not in plain
