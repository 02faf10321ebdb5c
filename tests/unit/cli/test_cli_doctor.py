import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from rich.console import Console

from cluster.cli import screen
from cluster.cli.doctor_lines import draw, draw_sum
from cluster.cli.main import isthmus
from device_agent.doctor import examination
from device_agent.doctor.examination import ExaminationSettings
from device_agent.doctor.finding import Finding

WELL = Finding("reachable", "ok", "it takes connections", figures={"connect_ms": 1.0})
SLEEPS = Finding("load", "warn", "sleeps", "wake it", subject="blocks.9")
BROKEN = Finding("digest", "fail", "another [bold]bundle[/]", "update it")
SKIPPED = Finding("frame", "skipped", "not looked at")


@pytest.fixture(autouse=True)
def _fresh_screens() -> Iterator[None]:
    for console in (screen.output, screen.notes):
        console.cache_clear()
    yield
    structlog.reset_defaults()
    for console in (screen.output, screen.notes):
        console.cache_clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Result, ExaminationSettings]]:
    """Run the command where an examination finds what is given, and give what it was asked."""
    monkeypatch.delenv("ISTHMUS_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "140")

    def run(*words: str, findings: tuple[Finding, ...]) -> tuple[Result, ExaminationSettings]:
        seen: list[ExaminationSettings] = []

        def examine(settings: ExaminationSettings, say: Callable[[str], None]) -> Iterator[Finding]:
            seen.append(settings)
            say("reachable")
            yield from findings

        monkeypatch.setattr(examination, "examine", examine)
        result = CliRunner().invoke(isthmus, ["doctor", *words], catch_exceptions=False)
        return result, seen[0]

    return run


def text(finding: Finding) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(draw(finding))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_a_finding_is_a_mark_its_check_its_sentence_and_below_it_how_to_mend_it() -> None:
    assert text(WELL).rstrip() == "✔ reachable  it takes connections"
    assert [line.rstrip() for line in text(SLEEPS).splitlines()] == [
        "! load      blocks.9   sleeps",
        "                       mend: wake it",
    ]
    assert text(BROKEN).startswith("✘ digest    ")
    assert text(SKIPPED).startswith("– frame     ")


def test_what_a_cluster_says_of_itself_is_no_markup() -> None:
    assert "another [bold]bundle[/]" in text(BROKEN)


def test_the_sum_counts_the_verdicts() -> None:
    assert draw_sum([WELL, SLEEPS, BROKEN, SKIPPED]).plain == "1 well, 1 warning, 1 failed, 1 not looked at"
    assert draw_sum([WELL]).plain == "1 well, 0 warnings, 0 failed"


def test_the_exit_code_is_one_only_if_something_failed(asked: Callable[..., tuple[Result, object]]) -> None:
    result, _ = asked(findings=(WELL, SLEEPS))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "1 well, 1 warning, 0 failed"
    assert asked(findings=(WELL, BROKEN))[0].exit_code == 1


def test_programs_get_every_finding_with_its_figures(asked: Callable[..., tuple[Result, object]]) -> None:
    result, _ = asked("ws://edge.example:9", "--json", findings=(WELL, BROKEN))
    assert result.exit_code == 1
    plain = json.loads(result.stdout)
    assert (plain["server"], plain["well"]) == ("http://edge.example:9", False)
    assert plain["findings"][0] == {
        "check": "reachable", "subject": "", "verdict": "ok", "sentence": "it takes connections", "mend": "",
        "figures": {"connect_ms": 1.0},
    }  # fmt: skip


def test_the_token_comes_as_the_agents_does_with_the_devices_name_and_is_not_shown(
    asked: Callable[..., tuple[Result, ExaminationSettings]], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("isthmus1.payload.signature\n")
    words = ("--token-file", str(tmp_path / "token"), "--device-id", "camera-1", "--timeout", "2", "--fetch")
    result, settings = asked(*words, findings=(WELL,))
    assert (settings.server.token, settings.server.device) == ("isthmus1.payload.signature", "camera-1")
    assert (settings.device, settings.timeout_s, settings.anew) == ("camera-1", 2.0, True)
    assert "signature" not in result.output + repr(settings)


def test_a_setting_that_makes_no_sense_is_refused(asked: Callable[..., tuple[Result, object]], tmp_path: Path) -> None:
    result = CliRunner().invoke(isthmus, ["doctor", "--bundle", str(tmp_path), "--digest", "0123456789"])
    assert result.exit_code == 1
    assert "--bundle and --digest" in str(result.exception)
