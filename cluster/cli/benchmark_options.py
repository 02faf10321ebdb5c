"""What the benchmarks on a real bundle are told alike: which bundle and clip, and where the figures go.

Owns these options, and the finding of the bundle.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cluster.cli.screen import notes

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH: Final = click.Path(path_type=Path)


def with_inputs(command: Command) -> Command:
    """Add ``--bundle`` and ``--clip``, each None where what ships is meant."""
    return _added(
        command,
        click.option("--bundle", type=_PATH, default=None, help="[default: built from what ships]"),
        click.option("--clip", type=_PATH, default=None, help="[default: a clip that a wheel brings]"),
    )


def with_results(out: Path, document: Path, *, holds: str) -> Callable[[Command], Command]:
    """Add ``--out``, which holds so much, ``--json`` as ``json_file``, ``--write-docs`` and ``--document``."""

    def add(command: Command) -> Command:
        return _added(
            command,
            click.option("--out", type=_PATH, default=out, show_default=True, help=f"Folder for {holds}."),
            click.option("--json", "json_file", type=_PATH, help="Write the figures here."),
            click.option("--write-docs", is_flag=True, help="Write the document's measured blocks and pictures."),
            click.option("--document", type=_PATH, default=document, show_default=True,
                         help="With --write-docs: the document; pictures go to img beside it."),
        )  # fmt: skip

    return add


def find_bundle(given: Path | None) -> Path:
    """Give the bundle's folder: the one given, or that of what ships, built if it is not there yet."""
    from cluster.bundles.shipped import shipped_bundle

    with notes().status("looking for the bundle") as status:
        return given or shipped_bundle(status.update)


def _added(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
