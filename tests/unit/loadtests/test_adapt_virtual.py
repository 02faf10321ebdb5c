from types import SimpleNamespace

import pytest
from adapt_fakes import made_tables

from device_agent.known_devices import known_device
from loadtests.adapt_bottlenet import OURS_FOR_ENERGY, as_on, radio_gains
from loadtests.adapt_drop import WATCHED_FRAMES, best_after, fall, steady_s
from loadtests.adapt_report import CLUSTER_ONLY, DEVICE_ONLY, ORACLE, OURS, POLICIES
from loadtests.adapt_scenario import (
    LEAST_WARM_MBPS,
    WARM_S,
    AdaptScenario,
    RecordedLink,
    agent_policy,
    radio_of,
    recorded_links,
    warmed_script,
    window_script,
)
from loadtests.adapt_virtual import virtual_traces
from loadtests.link_script import LinkState
from loadtests.link_trace import LinkTrace
from wire.errors import SettingError


def link(*rates_mbps, name="hsdpa-made"):
    """A trace whose rates hold for 2 s each."""
    trace = LinkTrace(tuple(2.0 * row for row in range(len(rates_mbps))), rates_mbps)
    return RecordedLink(name=name, trace=trace, radio=radio_of(name))


def scenario(tmp_path):
    manifest = SimpleNamespace(backbone="efficientnet-lite0")
    return AdaptScenario(bundle=SimpleNamespace(manifest=manifest), clip=tmp_path / "clip.mp4", cache=tmp_path)


def hear_nothing(_part, _done, _total):
    pass


def test_every_policy_answers_every_frame_of_the_window_in_virtual_time(tmp_path):
    links = [link(8.0, 0.5, 0.0, 8.0), link(2.0, 2.0, name="lte-made")]
    runs, fixed = virtual_traces(made_tables(), scenario(tmp_path), links, 6.0, on_trace=hear_nothing)
    assert list(runs) == ["hsdpa-made", "lte-made"]
    assert set(runs["lte-made"]) == {*POLICIES, ORACLE}
    assert {run.unanswered for by_policy in runs.values() for run in by_policy.values()} == {0}
    assert [len(by_policy[OURS].rows) for by_policy in runs.values()] == [30, 20]
    assert [row.number for row in runs["lte-made"][OURS].rows] == list(range(20))
    assert runs["lte-made"][OURS].rows[0].due_s == pytest.approx(0)
    assert fixed["lte-made"] in ("input/q75", "mid/r1", "output/whole")


def test_the_policies_without_a_choice_plan_what_their_name_says(tmp_path):
    runs, fixed = virtual_traces(made_tables(), scenario(tmp_path), [link(8.0, 8.0)], None, on_trace=hear_nothing)
    planned = {policy: {row.planned for row in run.rows} for policy, run in runs["hsdpa-made"].items()}
    assert planned[CLUSTER_ONLY] == {"input/q75"}
    assert planned[DEVICE_ONLY] == {"output/whole"}
    assert planned["best-fixed"] == {fixed["hsdpa-made"]}


def test_no_policy_is_sooner_than_the_oracle(tmp_path):
    runs, _ = virtual_traces(made_tables(), scenario(tmp_path), [link(4.0, 0.3, 6.0)], None, on_trace=hear_nothing)
    means = {
        policy: sum(row.latency_s for row in run.rows) / len(run.rows) for policy, run in runs["hsdpa-made"].items()
    }
    assert min(means, key=means.__getitem__) == ORACLE


def test_the_window_ends_on_a_link_that_carries_what_is_left():
    script = window_script(link(1.0, 0.0, 5.0), 3.0, delay_s=0.01)
    assert [(step.at_s, step.state.rate_mbps) for step in script.steps] == [
        (0.0, 1.0), (2.0, 0.0), (3.0, LEAST_WARM_MBPS),
    ]  # fmt: skip


def test_before_the_window_the_link_has_its_first_rate():
    script = warmed_script(link(7.0, 1.0), 3.0, delay_s=0.01)
    assert [(step.at_s, step.state.rate_mbps) for step in script.steps] == [
        (0.0, 7.0), (WARM_S, 7.0), (WARM_S + 2, 1.0), (WARM_S + 3, 7.0),
    ]  # fmt: skip


def test_a_window_is_no_longer_than_its_trace():
    assert link(1.0, 2.0).seconds(20.0) == 4.0
    assert link(1.0, 2.0).seconds(None) == 4.0


def test_a_trace_s_name_says_which_radio_recorded_it():
    assert [radio_of(name) for name in ("hsdpa-3g-00", "lte-att", "wifi-cafe", "mine")] == ["3g", "4g", "wifi", "4g"]


def test_a_folder_without_traces_is_refused_with_what_to_give(tmp_path):
    with pytest.raises(SettingError, match="no trace") as refused:
        recorded_links(tmp_path / "nowhere")
    assert "--data" in refused.value.mend


def test_the_traces_of_a_folder_come_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a", "other"):
        (tmp_path / f"{name}.csv").write_text("time_s,mbps\n0,1\n1,2\n")
    assert [each.name for each in recorded_links(tmp_path, "?.csv")] == ["a", "b"]


def test_the_best_fixed_option_is_played_as_a_fixed_policy():
    assert agent_policy("best-fixed", "mid/r1") == "fixed:mid/r1"
    assert agent_policy("best-fixed", "output/whole") == "device-only"
    assert agent_policy("ours") == "auto"


def test_an_agent_is_told_the_scenario(tmp_path):
    said = scenario(tmp_path).command(
        "--frames", "9", name="jalad", address=("127.0.0.1", 9), policy="jalad", radio="3g"
    )
    text = " ".join(said)
    assert "--server ws://127.0.0.1:9" in text
    assert "--policy jalad --max-drop 5 --deadline-ms 100" in text
    assert text.endswith("--radio 3g --device-profile raspberry-pi-3b+ --frames 9")


def test_on_a_constant_link_each_option_takes_what_its_parts_add_up_to():
    seconds = steady_s(made_tables(), LinkState(8.0, 0.01))
    assert seconds.tolist() == pytest.approx([0.002 + 6.3e-3 + 0.02 + 0.022, 0.05 + 1.3e-3 + 0.02 + 0.012, 0.1])


def test_what_is_best_after_a_fall_follows_from_the_rate(tmp_path):
    assert best_after(made_tables(), scenario(tmp_path), LinkState(8.0, 0.01)) == {0}
    assert best_after(made_tables(), scenario(tmp_path), LinkState(0.2, 0.01)) == {2}


def test_a_policy_that_never_moves_is_never_back(tmp_path):
    stuck = fall(made_tables(), scenario(tmp_path), (10.0, 0.2), policy="cluster-only", count=3)
    assert (stuck.best, stuck.frames, stuck.within_share) == (("output/whole",), (WATCHED_FRAMES,) * 3, 0.0)
    at_home = fall(made_tables(), scenario(tmp_path), (10.0, 0.2), policy="device-only", count=3)
    assert (at_home.frames, at_home.within_share) == ((1, 1, 1), 1.0)


def test_a_still_clip_shows_one_frame_only(tmp_path):
    tables = made_tables()
    still = tables.still(1)
    assert still.frames == 1
    assert still.sent_bytes[:, 0].tolist() == tables.sent_bytes[:, 1].tolist()
    back = fall(tables, scenario(tmp_path), (10.0, 0.2), policy="device-only", still=True, count=3)
    assert (back.still, back.frames) == (True, (1, 1, 1))


def test_tables_of_another_device_have_its_whole_network(tmp_path):
    scaled = as_on(made_tables(), scenario(tmp_path), "raspberry-pi-4b")
    published_s = known_device("raspberry-pi-4b").published("efficientnet-lite0")[1]
    assert scaled.device_s[2] == pytest.approx(published_s)
    assert scaled.device_s[1] == pytest.approx(published_s / 2)
    assert scaled.cluster_s.tolist() == made_tables().cluster_s.tolist()


def test_gains_are_what_sending_the_frame_takes_for_one_of_ours(tmp_path):
    gains = radio_gains(made_tables(), scenario(tmp_path))
    assert [(gain.radio, gain.mbps) for gain in gains] == [("3g", 1.1), ("4g", 5.85), ("wifi", 18.88)]
    for gain in gains:
        sent = gain.figures[CLUSTER_ONLY]
        assert gain.latency_gain == pytest.approx(sent.mean_ms / gain.figures[OURS].mean_ms)
        assert gain.energy_gain == pytest.approx(sent.energy_mj / gain.figures[OURS_FOR_ENERGY].energy_mj)
        assert sum(gain.points[OURS].values()) == pytest.approx(1)
