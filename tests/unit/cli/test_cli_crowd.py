import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_tables import made_option, made_tables

from cluster.bundles.synthetic import write_synthetic
from cluster.cli.bench_crowd import crowd
from cluster.cli.crowd_tables import blocks, screened
from cluster.comparison.document import block_names
from device_agent.rules import Constraints, Rules
from loadtests.adapt_outcome import Loads
from loadtests.crowd_outcome import CALM, RESTLESS, CrowdOutcome, CrowdPlayed
from loadtests.crowd_simulation import Crowd, LoadStep, simulate_crowd
from loadtests.link_script import LinkScript
from loadtests.virtual_device import VirtualDevice
from serve_apps.load_meter import LoadMeter
from wire.errors import SettingError

DOCUMENT = Path(__file__).parents[3] / "docs" / "crowd.md"


@pytest.fixture
def tables():
    options = (made_option(0, "input", "jpeg"), made_option(1, "output", "none"))
    return made_tables(options, device_s=[0.002, 0.1], cluster_s=[0.02, 0.0], first_bytes=[1000.0, 0.0])


@pytest.fixture
def outcome(tables):
    many = Crowd(
        agents=5,
        servers=1,
        steps=(LoadStep(8, 0.0), LoadStep(8, 0.9)),
        script=LinkScript.parse("0:20", delay_s=0.005),
        device=VirtualDevice(rules=Rules(constraints=Constraints(deadline_s=0.3)), fps=5.0, frames=0),
    )
    samples = {way: simulate_crowd(tables, many, LoadMeter) for way in (CALM, RESTLESS)}
    virtual = CrowdPlayed(crowd=many, samples=samples)
    others = {way: {"option": "input/r", "answered": 1, "refused": 0} for way in samples}
    return CrowdOutcome(device="made", loads=Loads(0.1, 0.2, 2), virtual=virtual, real=replace(virtual, others=others))


def test_every_measured_block_of_the_crowds_document_can_be_written(outcome):
    assert set(block_names(DOCUMENT.read_text(encoding="utf-8"))) == set(blocks(outcome))
    assert all(text.strip() for text in blocks(outcome).values())


def test_the_tables_of_a_crowd_have_a_cell_for_every_heading(outcome):
    for table in screened(outcome):
        assert {len(row) for row in table.rows} == {len(table.headings)}, table.title


def test_a_virtual_crowd_with_tables_starts_no_process(tables, tmp_path):
    tables.save(tmp_path / "tables.json")
    write_synthetic(tmp_path / "bundle")
    words = [
        "--agents", 4, "--real-agents", 0, "--tables", tmp_path / "tables.json", "--bundle", tmp_path / "bundle",
        "--background", "6:0,6:40", "--out", tmp_path / "out", "--json", tmp_path / "figures.json",
    ]  # fmt: skip
    done = CliRunner().invoke(crowd, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    assert "4 agents, virtual" in done.stdout
    plain = json.loads((tmp_path / "figures.json").read_text())
    assert set(plain["virtual"]["runs"]) == {CALM, RESTLESS}
    assert "real" not in plain
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["crowd.png"]


def test_tables_of_another_bundle_are_refused_before_anything_starts(tables, tmp_path):
    tables.save(tmp_path / "tables.json")
    write_synthetic(tmp_path / "bundle")
    words = ["--tables", tmp_path / "tables.json", "--bundle", tmp_path / "bundle", "--out", tmp_path / "out"]
    with pytest.raises(SettingError, match="another bundle"):
        CliRunner().invoke(crowd, [str(word) for word in words], catch_exceptions=False)


def test_the_crowds_document_is_not_written_of_a_virtual_run():
    with pytest.raises(SettingError, match="real run"):
        CliRunner().invoke(crowd, ["--real-agents", "0", "--write-docs"], catch_exceptions=False)
