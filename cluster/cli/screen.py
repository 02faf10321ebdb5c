"""What the commands of ``isthmus`` write for people and for programs.

Owns the two streams: results on standard output, all else on standard error.
"""

import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from wire.errors import IsthmusError

PLAIN_WIDTH: Final = 140


@cache
def output() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


@cache
def notes() -> Console:
    """Return the console for progress and remarks."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """Make a console; a pipe or a log has no width of its own, and gets one in which our tables fit."""
    console = Console(stderr=stderr, highlight=False)
    return (
        console
        if console.is_terminal or "COLUMNS" in os.environ
        else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)
    )


def write_json(value: Any, file: Path | None = None) -> None:
    """Write a value as indented JSON to a file, or to standard output."""
    text = json.dumps(value, indent=2) + "\n"
    if file is None:
        click.echo(text, nl=False)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def write_line(event: dict[str, Any]) -> None:
    """Write one event as a line of JSON on standard output, at once."""
    click.echo(json.dumps(event))


def fail(error: IsthmusError) -> int:
    """Say what went wrong and how to mend it; return the exit code."""
    sys.stderr.write(f"isthmus: {error.message}\n")
    if error.mend:
        sys.stderr.write(f"  mend: {error.mend}\n")
    return error.exit_code
