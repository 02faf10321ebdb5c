import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from load_fakes import DEADLINE_S, figures, run

from cluster.cli.bench_load import load
from cluster.cli.bench_load_tables import blocks, screened
from cluster.comparison.document import block_names, filled
from loadtests.adapt_outcome import Loads
from loadtests.load_background import BackgroundRuns
from loadtests.load_capacity import Capacity, Found, Probe
from loadtests.load_outcome import LoadOutcome
from loadtests.load_overload import Overload
from loadtests.load_picture import draw_loads
from loadtests.load_saving import Saving
from loadtests.load_scene import LoadScene, entrants
from loadtests.load_spike import Spike
from wire.errors import SettingError

ENTRANTS = entrants("blocks.9/r3")
HELD = {"tutorial": 2, "jpeg": 5, "device": 0, "cut": 20, "ours": 60}


def made_outcome(tmp_path) -> LoadOutcome:
    nowhere = Path("nowhere")
    scene = LoadScene(bundle=nowhere, clip=nowhere, cache=nowhere, out=tmp_path, devices=("raspberry-pi-4b",))
    outcome = LoadOutcome(scene=scene, device="raspberry-pi-4b", cut="blocks.9/r3", machine=Loads(0.1, 0.2, 2))
    for name, held in HELD.items():
        probes = (Probe(run(max(held, 1), good=10), held=held > 0), Probe(run(2 * held + 2, late=10), held=False))
        outcome.capacities.append(Capacity(ENTRANTS[name], "anyone", Found(held, at_least=name == "ours"), probes))
        outcome.background.append(BackgroundRuns(ENTRANTS[name], {0.0: run(), 50.0: run(late=20)}))
    for name in ("jpeg", "ours"):
        capacity = outcome.capacity_of(name)
        outcome.overloads.append(Overload(capacity, run(40, by_device=10, refused=5), DEADLINE_S))
        seconds = (figures(), figures(good=0, late=5), *(figures(),) * 4)
        replicas = ((0.0, {"input": 1, "blocks.9": 1}), (3.0, {"input": 2, "blocks.9": 1}))
        outcome.spikes.append(Spike(ENTRANTS[name], run(50, seconds=seconds, replicas=replicas), 1.0, DEADLINE_S))
    outcome.savings.append(Saving(ENTRANTS["cut"], run(cluster_cpu=0.2), run(cluster_cpu=1.0)))
    return outcome


def test_the_document_takes_every_block_that_a_run_gives(tmp_path):
    text = Path("docs/load.md").read_text(encoding="utf-8")
    given = blocks(made_outcome(tmp_path))
    assert sorted(block_names(text)) == sorted(given)
    assert "60" in filled(text, given)


def test_every_experiment_has_a_table_and_one_that_was_left_out_has_none(tmp_path):
    outcome = made_outcome(tmp_path)
    every = len(screened(outcome))
    outcome.spikes.clear()
    assert len(screened(outcome)) == every - 1


def test_a_gain_is_how_many_times_as_many_agents_are_held(tmp_path):
    outcome = made_outcome(tmp_path)
    assert outcome.gain("cut", "jpeg") == pytest.approx(4.0)
    assert outcome.gain("ours", "tutorial") == pytest.approx(30.0)
    assert outcome.gain("ours", "device") is None


def test_what_was_wanted_is_judged_by_the_figures(tmp_path):
    met = {wanted.what: wanted.met for wanted in made_outcome(tmp_path).wanted()}
    assert not met["ours, cut fixed at blocks.9/r3: 5 × the agents of jpeg"]
    assert met["ours, choosing: 5 × the agents of jpeg"]
    assert met["ours, choosing: back within the deadline after a spike, no swing"]


def test_the_outcome_is_json(tmp_path):
    plain = json.loads(json.dumps(made_outcome(tmp_path).as_plain()))
    assert plain["gains"]["cut_over_jpeg"] == pytest.approx(4.0)
    assert len(plain["capacity"]) == len(HELD)


def test_every_experiment_is_drawn(tmp_path):
    drawn = draw_loads(made_outcome(tmp_path), tmp_path)
    assert {path.name for path in drawn} == {f"load-{n}.png" for n in ("capacity", "overload", "spike", "background")}
    assert all(path.stat().st_size > 5000 for path in drawn)


def test_an_experiment_that_nobody_knows_is_refused():
    refused = CliRunner().invoke(load, ["--only", "capacity,juggling"])
    assert isinstance(refused.exception, SettingError)
    assert "juggling" in str(refused.exception)


def test_a_document_is_not_written_of_a_part():
    refused = CliRunner().invoke(load, ["--only", "spike", "--write-docs"])
    assert isinstance(refused.exception, SettingError)
