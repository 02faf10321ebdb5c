"""Where answers, events and the summary go: JSON lines, plain lines, a file; the table is ``screen``'s."""

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TextIO

from device_agent.answer import FrameAnswer, as_line, option_name
from wire.errors import SettingError


class Report(Protocol):
    """Takes what happens, in order; called from more than one thread."""

    def frame(self, answer: FrameAnswer) -> None:
        """Show one answer."""

    def event(self, plain: dict[str, Any]) -> None:
        """Show that something happened; ``plain["event"]`` names it."""

    def summary(self, plain: dict[str, Any]) -> None:
        """Show what the whole run came to; the last call."""


class JsonReport:
    """One JSON object a line, flushed at once."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def frame(self, answer: FrameAnswer) -> None:
        """Write the line of one frame."""
        self.event(answer.as_plain())

    def event(self, plain: dict[str, Any]) -> None:
        """Write one line."""
        with self._lock:
            self._file.write(as_line(plain))
            self._file.flush()

    def summary(self, plain: dict[str, Any]) -> None:
        """Write the last line."""
        self.event(plain)


class LinesReport:
    """One short line a frame, for a log or a pipe."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def frame(self, answer: FrameAnswer) -> None:
        """Write what was seen, where, and in which time."""
        mark = f"  ({answer.fallback})" if answer.fallback else ""
        self._write(
            f"{answer.frame:6d}  {answer.latency_s * 1e3:7.1f} ms  {answer.where:7s}  "
            f"{option_name(answer.option):24s}  {answer.sent_bytes:6d} B  "
            f"{answer.score:5.2f}  {answer.label}{mark}"
        )

    def event(self, plain: dict[str, Any]) -> None:
        """Write the event and its fields."""
        fields = "  ".join(f"{key}={value}" for key, value in plain.items() if key not in ("event", "unix_s"))
        self._write(f"{plain['event']}  {fields}")

    def summary(self, plain: dict[str, Any]) -> None:
        """Draw the summary as a table."""
        from device_agent.screen import draw_summary

        draw_summary(plain, self._file)

    def _write(self, line: str) -> None:
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()


class AllReports:
    """Hands everything to several reports."""

    def __init__(self, reports: Iterable[Report]) -> None:
        self._reports = tuple(reports)

    def frame(self, answer: FrameAnswer) -> None:
        """Show one answer everywhere."""
        for report in self._reports:
            report.frame(answer)

    def event(self, plain: dict[str, Any]) -> None:
        """Show an event everywhere."""
        for report in self._reports:
            report.event(plain)

    def summary(self, plain: dict[str, Any]) -> None:
        """Show the summary everywhere."""
        for report in self._reports:
            report.summary(plain)


def open_out(path: Path) -> TextIO:
    """Open the file of ``--out``; raises SettingError if it cannot be written."""
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error}", mend="give another file with --out") from error


def stdout_report(kind: str) -> Report:
    """Make the report on standard output: ``json``, ``lines`` or ``table``."""
    if kind == "json":
        return JsonReport(sys.stdout)
    if kind == "lines":
        return LinesReport(sys.stdout)
    from device_agent.screen import TableReport

    return TableReport()
