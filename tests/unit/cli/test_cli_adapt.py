import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_tables import made_option, made_tables

from cluster.bundles.synthetic import write_synthetic
from cluster.cli.adapt_tables import blocks, screened
from cluster.cli.bench_adapt import adapt
from cluster.comparison.document import block_names
from loadtests.adapt_bottlenet import radio_gains
from loadtests.adapt_drop import FALLS_MBPS, fall
from loadtests.adapt_outcome import AdaptOutcome, Loads, Played
from loadtests.adapt_scenario import AdaptScenario, recorded_links
from loadtests.adapt_virtual import virtual_traces
from wire.errors import SettingError

DOCUMENT = Path(__file__).parents[3] / "docs" / "adapting.md"


@pytest.fixture
def tables():
    options = (made_option(0, "input", "jpeg"), made_option(1, "mid", "raw"), made_option(2, "output", "none"))
    return made_tables(
        options, device_s=[0.002, 0.05, 0.1], cluster_s=[0.02, 0.01, 0.0], first_bytes=[6000.0, 1000.0, 0.0]
    )


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lte-made.csv").write_text("time_s,mbps\n0,6\n2,0.5\n4,6\n")
    return tmp_path / "data"


@pytest.fixture
def outcome(tables, data, tmp_path):
    """What would come of a real run in which everything took what virtual time says."""
    links = recorded_links(data)
    scenario = AdaptScenario(bundle=write_synthetic(tmp_path / "bundle"), clip=Path("clip.mp4"), cache=tmp_path)
    runs, fixed = virtual_traces(tables, scenario, links, 5.0, on_trace=lambda *_: None)
    played = Played(runs=runs, fixed=fixed, window_s=5.0)
    real = {trace: {name: run for name, run in runs[trace].items() if name != "oracle"} for trace in runs}
    return AdaptOutcome(
        scenario=scenario,
        tables=tables,
        loads=Loads(0.1, 0.2, 2),
        real=replace(played, runs=real),
        virtual=played,
        fallen_back=played,
        full=replace(played, window_s=None),
        falls=tuple(fall(tables, scenario, rates, count=2) for rates in FALLS_MBPS),
        gains=tuple(radio_gains(tables, scenario)),
    )


def test_every_measured_block_of_the_document_can_be_written(outcome):
    assert set(block_names(DOCUMENT.read_text(encoding="utf-8"))) == set(blocks(outcome))
    assert all(text.strip() for text in blocks(outcome).values())


def test_the_tables_of_the_screen_have_a_cell_for_every_heading(outcome):
    for table in screened(outcome):
        assert {len(row) for row in table.rows} == {len(table.headings)}, table.title


def test_runs_that_are_alike_agree_in_everything(outcome):
    assert {(each.mean_ratio, each.same_option_share) for each in outcome.agreement()} == {(1.0, 1.0)}


def test_the_json_has_what_was_wanted_and_what_came_of_it(outcome):
    plain = json.loads(json.dumps(outcome.as_plain()))
    assert set(plain["real"]["overall"]) == set(plain["virtual"]["overall"])
    assert {"wanted", "limit", "value", "met", "short"} <= set(plain["real"]["wanted"][0])
    assert set(outcome.frames_as_plain()["lte-made"]) == set(plain["real"]["overall"])


def test_with_tables_the_virtual_comparison_starts_no_process(tables, data, tmp_path):
    tables.save(tmp_path / "tables.json")
    write_synthetic(tmp_path / "bundle")
    words = [
        "--data", data, "--only-virtual", "--tables", tmp_path / "tables.json", "--bundle", tmp_path / "bundle",
        "--window-s", 4, "--out", tmp_path / "out", "--json", tmp_path / "figures.json",
    ]  # fmt: skip
    done = CliRunner().invoke(adapt, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    assert "what is wanted of ours" in done.stdout
    assert json.loads((tmp_path / "figures.json").read_text())["real"] is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "adapt-overview.png", "adapt-traces-1.png", "frames.json",
    }  # fmt: skip


def test_without_traces_it_says_what_to_give(tmp_path):
    with pytest.raises(SettingError, match="no trace") as refused:
        CliRunner().invoke(adapt, ["--data", str(tmp_path / "nowhere")], catch_exceptions=False)
    assert "--data" in refused.value.mend


def test_a_document_is_not_written_of_a_virtual_run(data):
    with pytest.raises(SettingError, match="real run"):
        CliRunner().invoke(adapt, ["--data", str(data), "--only-virtual", "--write-docs"], catch_exceptions=False)
