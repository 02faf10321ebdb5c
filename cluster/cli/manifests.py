"""``isthmus manifests``: check what deploys Isthmus to Kubernetes, without a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.screen import output, write_json

if TYPE_CHECKING:
    from cluster.kubernetes.check import CheckedOverlay

OVERLAYS: Final = Path("k8s/overlays")
KUSTOMIZATION: Final = "kustomization.yaml"


@click.group()
def command() -> None:
    """Check the Kubernetes manifests."""


@command.command()
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def check(context: click.Context, *, folders: tuple[Path, ...], as_json: bool) -> None:
    """Render each FOLDER with kubectl, and check every object alone and against the others.

    Without a FOLDER, all below k8s/overlays are checked. The exit code is 1 where there is a fault.
    """
    from cluster.kubernetes.check import check_folder

    checked = [check_folder(folder) for folder in folders or _overlays()]
    if as_json:
        write_json(
            [
                {"overlay": one.overlay, "objects": one.objects, "faults": [fault.as_plain() for fault in one.faults]}
                for one in checked
            ]
        )
    else:
        _show(checked)
    if any(one.faults for one in checked):
        context.exit(1)


def _overlays() -> list[Path]:
    from wire.errors import SettingError

    folders = sorted(file.parent for file in OVERLAYS.glob(f"*/{KUSTOMIZATION}"))
    if not folders:
        raise SettingError(
            f"no folder below {OVERLAYS} has a {KUSTOMIZATION}",
            mend="run this at the root of the repository, or name the folders",
        )
    return folders


def _show(checked: "Sequence[CheckedOverlay]") -> None:
    from rich.table import Table
    from rich.text import Text

    faults = [fault for one in checked for fault in one.faults]
    if faults:
        table = Table("overlay", "object", "place", "what is wrong")
        for fault in faults:
            table.add_row(*(Text(cell) for cell in (fault.overlay, fault.subject, fault.path, fault.sentence)))
        output().print(table)
    for one in checked:
        count = len(one.faults)
        said = "no faults" if count == 0 else f"{count} fault{'' if count == 1 else 's'}"
        output().print(f"{one.overlay}: {one.objects} objects, {said}")
