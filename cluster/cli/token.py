"""``isthmus token``: make, list and revoke the tokens with which devices and operators come to a cluster."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cluster.cli.screen import notes, output, write_json

if TYPE_CHECKING:
    from serve_apps.token_folder import TokenFolder
    from serve_apps.tokens import Claims

_folder = click.option("--tokens", "folder", type=click.Path(path_type=Path, file_okay=False), default=None,
                       help="The folder that `isthmus up --tokens` reads.  "
                       "[default: $XDG_DATA_HOME/isthmus/tokens]")  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group()
def command() -> None:
    """Make, list and revoke the tokens of devices and operators."""


@command.command()
@click.argument("device")
@click.option("--role", type=click.Choice(["device", "operator"]), default="device", show_default=True,
              help="An operator may also write to the control application.")  # fmt: skip
@click.option("--days", type=float, default=90.0, show_default=True,
              help="For so long it is good.")  # fmt: skip
@_folder
@_json
def create(
    *, device: str, role: Literal["device", "operator"], days: float, folder: Path | None, as_json: bool
) -> None:
    """Make a token for DEVICE, the name that its agent says with --device-id, and show it this once."""
    from wire.errors import SettingError
    from wire.ids import DeviceId

    if not 1 <= len(device) <= 64:
        raise SettingError("a device's name has 1 to 64 characters", mend="give the name of --device-id")
    store = _open(folder)
    token, claims = store.issue(DeviceId(device), role, days=days, now_s=time.time())
    if as_json:
        write_json({"token": token, **_plain(claims), "folder": str(store.folder)})
        return
    click.echo(token)
    notes().print(
        f"{role} token {claims.token_id} of {device}, good until {_date(claims.expires_s)}; "
        "keep it in a file that only the agent may read, and give isthmus-agent --token-file"
    )


@command.command(name="list")
@_folder
@_json
def list_(*, folder: Path | None, as_json: bool) -> None:
    """Show what was issued, and what became of it; never the tokens themselves, which are kept nowhere."""
    from rich.table import Table

    store = _open(folder)
    revoked = {token.token_id for token in store.revoked()}
    now_s = time.time()
    rows = [{**_plain(claims), "state": _state(claims, revoked, now_s)} for claims in store.issued()]
    if as_json:
        write_json(rows)
        return
    table = Table("id", "subject", "role", "issued", "expires", "state")
    for row in rows:
        table.add_row(
            row["id"], row["subject"], row["role"], _date(row["issued_s"]), _date(row["expires_s"]), row["state"]
        )
    output().print(table)


@command.command()
@click.argument("token_id")
@_folder
def revoke(*, token_id: str, folder: Path | None) -> None:
    """Make a token worthless, by its id; a cluster that runs notices within seconds and cuts its streams."""
    claims = _open(folder).revoke(token_id, now_s=time.time())
    notes().print(f"revoked the {claims.role} token {token_id} of {claims.subject}")


def _open(folder: Path | None) -> "TokenFolder":
    from serve_apps.token_folder import TokenFolder, default_folder

    return TokenFolder(folder or default_folder())


def _plain(claims: "Claims") -> dict[str, Any]:
    return {
        "id": claims.token_id,
        "subject": claims.subject,
        "role": claims.role,
        "issued_s": claims.issued_s,
        "expires_s": claims.expires_s,
    }


def _state(claims: "Claims", revoked: set[str], now_s: float) -> str:
    if claims.token_id in revoked:
        return "revoked"
    return "expired" if now_s >= claims.expires_s else "good"


def _date(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
