"""The command ``isthmus``: where the parts meet. Imports nothing heavy, so that ``--help`` is instant."""

import signal
import sys
from importlib import import_module
from typing import Final

import click

from cluster.cli.screen import fail
from wire.errors import IsthmusError

COMMANDS: Final = {
    "points": ("cluster.cli.points", "Show where a backbone can be cut, and what each cut costs."),
    "train": ("cluster.cli.train", "Train the codec of one partition point."),
    "bundle": ("cluster.cli.bundle", "Build, inspect and check bundles."),
    "eval": ("cluster.cli.eval", "Measure every option of a bundle on labelled pictures."),
    "profile": ("cluster.cli.profile", "Measure this machine, or a device, group by group."),
    "plan": ("cluster.cli.plan", "Plan cuts and schedules as the papers do."),
    "up": ("cluster.cli.up", "Start a cluster on this machine and serve a bundle."),
    "serve-config": ("cluster.cli.serve_config", "Write the file that Ray Serve deploys."),
    "manifests": ("cluster.cli.manifests", "Check the Kubernetes manifests."),
    "update": ("cluster.cli.update", "Give a running cluster a new bundle without losing a frame."),
    "token": ("cluster.cli.token", "Make, list and revoke the tokens of devices and operators."),
    "doctor": ("cluster.cli.doctor", "Check a deployment from the outside, and say what is wrong."),
    "top": ("cluster.cli.top", "Watch points, replicas, agents and their cuts."),
    "demo": ("cluster.cli.demo", "Stream a clip from two agents over a changing link."),
    "bench": ("cluster.cli.bench", "Measure Isthmus against its rivals."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it runs, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of a user's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        return import_module(COMMANDS[cmd_name][0]).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from the table above, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(package_name="isthmus", prog_name="isthmus")
def isthmus() -> None:
    """Split a neural network between cheap devices and an elastic GPU cluster."""


def main() -> None:
    """Run the command line; an error of ours is one sentence and an exit code, not a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        isthmus(prog_name="isthmus")
    except IsthmusError as error:
        sys.exit(fail(error))


def _interrupt(*_: object) -> None:
    """Have SIGTERM end a command as Ctrl-C does: what it started, it stops. Shells ignore Ctrl-C in the background."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
