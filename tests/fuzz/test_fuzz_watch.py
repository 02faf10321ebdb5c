"""What the watch over a fuzzing process sees: planted faults of every kind, in real processes."""

import subprocess
import sysconfig
import threading
from pathlib import Path

import pytest

from loadtests.fuzz_child import Orders, fuzzed
from loadtests.fuzz_process import FOUND
from loadtests.fuzz_run import FuzzRun
from loadtests.fuzz_sanitizer import FLAGS, compiler, sanitized
from loadtests.fuzz_target import TargetPlan, plans
from wire.errors import SettingError

INPUTS = 400


@pytest.fixture
def fuzz(tmp_path):
    def run(target, *, inputs=INPUTS, guided=False, **environment):
        orders = Orders(
            target=target, folder=tmp_path / "run", corpus=tmp_path / "none", inputs=inputs, seconds=60.0, seed=1,
            most_bytes=64, guided=guided,
            environment={"PYTHONPATH": str(Path(__file__).parent), **environment},
        )  # fmt: skip
        return fuzzed(orders, lambda _: None, threading.Event())

    return run


def only(outcome):
    (finding,) = outcome.findings
    return finding, Path(finding.input_file).read_bytes()


def test_an_error_of_its_own_is_found_with_its_traceback_and_the_process_goes_on(fuzz):
    outcome = fuzz("planted_faults:raises")
    finding, data = only(outcome)
    assert (finding.kind, b"!" in data) == ("exception", True)
    assert "KeyError: 'planted'" in finding.says
    assert outcome.record.inputs == INPUTS
    assert outcome.record.outcomes["finding"] > 1  # one place in the code is one finding


def test_a_crash_of_c_code_leaves_the_input_and_others_are_tried_after_it(fuzz):
    outcome = fuzz("planted_faults:crashes")
    assert {finding.kind for finding in outcome.findings} == {"crash"}
    assert all(b"!" in Path(finding.input_file).read_bytes() for finding in outcome.findings)
    assert "SIGSEGV" in outcome.findings[0].says
    assert outcome.record.inputs > max(1, len(outcome.findings))


def test_an_input_that_never_ends_is_a_hang(fuzz):
    outcome = fuzz("planted_faults:hangs", inputs=1)
    finding, data = only(outcome)
    assert (finding.kind, data) == ("hang", b"seed")
    assert "one input took" in finding.says


def test_what_asks_for_too_much_memory_is_found_and_the_machine_is_safe(fuzz):
    finding, _ = only(fuzz("planted_faults:takes_too_much", inputs=3))
    assert "MemoryError" in finding.says


def test_memory_that_is_kept_for_each_input_shows_as_growth(fuzz):
    assert fuzz("planted_faults:keeps").record.growth > 0.5


def test_a_target_that_does_nothing_does_not_grow(fuzz):
    record = fuzz("planted_faults:does_nothing", inputs=2000).record
    assert record.outcomes == {"accepted": 2000}
    assert abs(record.growth) < 0.05


def test_coverage_guides_to_inputs_that_reach_something_new(fuzz, tmp_path):
    record = fuzz("loadtests.fuzz_messages:messages", inputs=2000, guided=True).record
    assert (record.guided, record.inputs) == (True, 2000)
    assert len(list((tmp_path / "run" / FOUND).iterdir())) > 3


@pytest.mark.skipif(compiler() is None, reason="there is no gcc, so the C loops are not compiled either")
def test_a_loop_in_c_that_reads_beyond_its_words_is_found_by_the_checked_build(fuzz, tmp_path):
    environment = sanitized(tmp_path / "checked")
    source = tmp_path / "checked" / "wire" / "rans_loops.c"
    source.write_text(source.read_text().replace("if (used == have)", "if (used == have + 9)"))
    library = source.with_name("rans_loops" + sysconfig.get_config_var("EXT_SUFFIX"))
    subprocess.run([compiler(), *FLAGS, str(source), "-o", str(library)], check=True)
    outcome = fuzz("lanes-sanitized", **environment)
    assert any("AddressSanitizer: heap-buffer-overflow" in finding.says for finding in outcome.findings)


def test_a_run_gives_every_target_its_share_and_no_less_in_all(tmp_path):
    planted = [TargetPlan(name, "says", "none:none", share) for name, share in (("a", 0.01), ("b", 0.02))]
    run = FuzzRun(plans=tuple(planted), inputs=1000, seconds=30.0, seed=1, corpus=tmp_path, out=tmp_path / "out")
    assert run.shares() == {"a": 334, "b": 667}


def test_a_target_is_guided_for_half_of_its_inputs_and_blind_for_the_others(tmp_path):
    settings = {"inputs": 600, "seconds": 30.0, "seed": 1, "corpus": tmp_path, "out": tmp_path / "out"}
    heard = []
    (report,) = FuzzRun(plans=plans(("messages",)), **settings).run(lambda name, count: heard.append((name, count)))
    assert (report.inputs, report.guided.inputs, report.findings) == (600, 300, ())
    assert report.corpus > 0
    assert heard[-1][0] == "messages"


def test_a_target_that_is_none_is_refused():
    with pytest.raises(SettingError, match="no target 'nothing'"):
        plans(("nothing",))
