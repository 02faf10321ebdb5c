"""A real process that speaks JSON lines, and ends as it was told or not."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from loadtests import child as child_module
from loadtests.child import Child
from wire.errors import ClusterUnreachable

pytestmark = pytest.mark.service

START_TIMEOUT_S = 60.0
SAY = "import json, sys, time\ndef say(**event): print(json.dumps(event), flush=True)\n"
SLEEP = "\ntime.sleep(600)"


def python(program: str, log: Path | None = None, **environment: str) -> Child:
    return Child([sys.executable, "-c", SAY + program], log=log, environment=environment)


def test_an_event_is_waited_for_and_the_lines_before_it_are_skipped() -> None:
    program = "say(event='starting'); print('no json'); print('[1, 2]'); print('7'); say(event='ready', port=8765)"
    with python(program + SLEEP) as child:
        assert child.wait_for("ready", timeout_s=START_TIMEOUT_S) == {"event": "ready", "port": 8765}


def test_the_events_are_those_lines_that_are_json_objects_until_the_process_ends() -> None:
    with python("say(event='a'); print('{\"half'); print(); say(other=1); say(event='b')") as child:
        assert list(child.events()) == [{"event": "a"}, {"other": 1}, {"event": "b"}]
        assert child.stop() == 0


def test_what_was_not_waited_for_can_still_be_read() -> None:
    with python("say(event='a'); say(event='b'); say(event='c')") as child:
        child.wait_for("a", timeout_s=START_TIMEOUT_S)

        assert [event["event"] for event in child.events()] == ["b", "c"]


def test_an_event_that_does_not_come_in_time_is_an_error_that_names_it() -> None:
    with python("say(event='a')" + SLEEP) as child:
        child.wait_for("a", timeout_s=START_TIMEOUT_S)

        with pytest.raises(ClusterUnreachable, match="did not say ready within 0 s"):
            child.wait_for("ready", timeout_s=0.0)


def test_a_process_that_ends_too_early_is_an_error_with_its_code_and_last_words(tmp_path: Path) -> None:
    with python("say(event='a'); sys.exit('the port is taken')", log=tmp_path / "log") as child:
        with pytest.raises(ClusterUnreachable, match="ended with code 1 before it said ready: the port is taken"):
            child.wait_for("ready", timeout_s=START_TIMEOUT_S)
        assert child.stop() == 1


def test_the_environment_given_is_added_to_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_TEST_OURS", "kept")
    program = "import os; say(event='env', ours=os.environ['ISTHMUS_TEST_OURS'], new=os.environ['ISTHMUS_TEST_NEW'])"
    with python(program, ISTHMUS_TEST_NEW="added") as child:
        event = child.wait_for("env", timeout_s=START_TIMEOUT_S)

    assert (event["ours"], event["new"]) == ("kept", "added")


def test_stopping_interrupts_the_process_and_gives_its_own_exit_code() -> None:
    program = """
try:
    say(event='ready')
    time.sleep(600)
except KeyboardInterrupt:
    say(event='interrupted')
    sys.exit(7)
"""
    with python(program) as child:
        child.wait_for("ready", timeout_s=START_TIMEOUT_S)

        assert child.stop() == 7
        assert child.wait_for("interrupted", timeout_s=START_TIMEOUT_S)
        assert child.stop() == 7


def test_leaving_the_block_stops_the_process() -> None:
    with python("say(event='ready')" + SLEEP) as child:
        child.wait_for("ready", timeout_s=START_TIMEOUT_S)
        process = child.process

    assert process.poll() is not None


def test_a_process_that_ignores_the_interrupt_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "STOP_TIMEOUT_S", 0.2)
    program = """
import signal, subprocess
signal.signal(signal.SIGINT, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
say(event='ready', grandchild=grandchild.pid)
"""
    with python(program + SLEEP) as child:
        grandchild = psutil.Process(child.wait_for("ready", timeout_s=START_TIMEOUT_S)["grandchild"])

        assert child.stop() == -signal.SIGKILL
    psutil.wait_procs([grandchild], timeout=START_TIMEOUT_S)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
