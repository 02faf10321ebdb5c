import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli.bench_fuzz import fuzz
from cluster.cli.fuzz_tables import blocks, screened
from cluster.comparison.document import block_names
from loadtests.fuzz_cluster import REPLICA, ClusterRecord
from loadtests.fuzz_record import Finding, Record
from loadtests.fuzz_report import FuzzReport, probe_s
from loadtests.fuzz_run import TargetReport

DOCUMENT = Path(__file__).parents[3] / "docs" / "fuzzing.md"
MIB = 2**20


def record(inputs, rss_mib=(), **outcomes):
    return Record(
        inputs=inputs, seconds=2.0, outcomes=Counter(outcomes), rss_bytes=[size * MIB for size in rss_mib],
        slowest_s=0.004, guided=True,
    )  # fmt: skip


def target(name="messages", *, inputs=1000, rss_mib=(100,) * 20, findings=(), sanitized=False):
    return TargetReport(
        name=name, says="says", guided=record(inputs, accepted=inputs), blind=record(inputs, rss_mib, wire=inputs),
        corpus=7, findings=tuple(findings), sanitized=sanitized,
    )  # fmt: skip


def finding(kind="exception"):
    return Finding("messages", kind, "Traceback\nKeyError: 1", "runs/fuzz/here")


@pytest.fixture
def cluster():
    replica = record(0, [100] * 15 + [104] * 5)
    haproxy = record(0, [10] * 15 + [20] * 5)
    return ClusterRecord(
        record=record(300, accepted=100, closed=200), probes_s=[0.1, 0.3, 0.2],
        processes={f"{REPLICA}point-real:tail 7": replica, "haproxy 8": haproxy},
    )  # fmt: skip


@pytest.fixture
def whole(cluster):
    return FuzzReport((target(inputs=500_000), target("rans")), cluster, seed=3)


def test_a_run_sums_up_both_halves_of_every_target_and_the_cluster(whole):
    assert whole.inputs == 1_000_000 + 2000 + 300
    assert whole.targets[0].accepted == 0.5
    assert [each.met for each in whole.wanted()] == [True] * 4


def test_the_growth_of_a_run_is_that_of_the_process_that_grew_most(cluster):
    grown = target("rans", rss_mib=[100] * 18 + [110] * 2)
    name, growth = FuzzReport((target(), grown), cluster, seed=1).growth
    assert (name, growth) == ("rans", pytest.approx(0.1))
    assert not FuzzReport((grown,), None, seed=1).wanted()[-1].met


def test_of_the_cluster_the_replicas_count_and_of_the_checked_builds_nothing(cluster):
    assert cluster.growth == pytest.approx(0.04)
    checked = target("lanes-sanitized", rss_mib=[100] * 18 + [300] * 2, sanitized=True)
    assert FuzzReport((checked,), cluster, seed=1).growth == ("cluster", pytest.approx(0.04))
    assert FuzzReport((checked,), None, seed=1).growth is None


def test_each_kind_of_finding_is_told_apart():
    found = FuzzReport((target(findings=[finding(), finding("hang"), finding("crash")]),), None, seed=1)
    plain = found.as_plain()
    assert (plain["crashes"], plain["hangs"], len(plain["findings"])) == (2, 1, 3)
    met = {each.what: each.met for each in found.wanted()}
    assert not met["crashes, and errors that are not ours"]
    assert not met["hangs"]


def test_a_run_too_short_to_tell_has_no_growth():
    assert target(rss_mib=()).growth is None


def test_the_figures_are_plain_json(whole):
    plain = json.loads(json.dumps(whole.as_plain()))
    assert plain["targets"]["messages"]["blind"]["outcomes"] == {"wire": 500_000}
    assert plain["cluster"]["probe_most_s"] == 0.3
    assert plain["cluster"]["processes"]["haproxy 8"]["replica"] is False


def test_a_probe_time_is_one_that_was_measured(cluster):
    assert [probe_s(cluster, share) for share in (0.0, 0.5, 1.0)] == [0.1, 0.2, 0.3]
    assert probe_s(ClusterRecord(), 0.5) == 0.0


def test_the_document_has_a_block_for_everything_that_is_measured_and_no_other(whole):
    assert set(block_names(DOCUMENT.read_text(encoding="utf-8"))) == set(blocks(whole))
    assert screened(whole)[0].title == "what was fuzzed"


def test_the_command_fuzzes_one_target_and_writes_its_figures(tmp_path):
    figures = tmp_path / "fuzz.json"
    words = ["--target", "messages", "--inputs", "400", "--corpus", str(tmp_path / "corpus"), "--grow-corpus"]
    done = CliRunner().invoke(fuzz, [*words, "--out", str(tmp_path / "out"), "--json", str(figures)])
    assert done.exit_code == 0, done.output
    plain = json.loads(figures.read_text())
    assert (plain["inputs"], plain["crashes"], plain["cluster"]) == (400, 0, None)
    assert list((tmp_path / "corpus" / "messages").iterdir())


def test_the_command_fails_when_something_was_found_and_says_what(tmp_path):
    # A target that takes nothing but what it was never given is at fault with its first input.
    (tmp_path / "none").mkdir()
    words = ["--target", "unittest.mock:MagicMock", "--inputs", "5", "--corpus", str(tmp_path / "none")]
    done = CliRunner().invoke(fuzz, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "- unittest.mock:MagicMock: crash:" in done.output
