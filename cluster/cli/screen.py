"""What the commands of ``isthmus`` write for people and for programs.

Owns the two streams: results on standard output, all else on standard error.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from wire.errors import IsthmusError


@cache
def output() -> Console:
    """Return the console for results."""
    return Console(highlight=False)


@cache
def notes() -> Console:
    """Return the console for progress and remarks."""
    return Console(stderr=True, highlight=False)


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
