"""``isthmus top``: a running cluster on a terminal, again and again: points, replicas, load, agents and their cuts."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cluster.cli.screen import output, write_json
from wire.errors import ClusterUnreachable, IsthmusError

if TYPE_CHECKING:
    from cluster.cli.top_tables import ClusterStatus
    from device_agent.http_fetch import HttpFetch

MOST_BYTES: Final = 8 * 2**20
PLAIN_LINES: Final = 40


@click.command()
@click.argument("url", default="ws://127.0.0.1:8765")
@click.option("--every", "every_s", default=1.0, show_default=True, type=click.FloatRange(0.2, 60), help="Seconds.")
@click.option("--once", is_flag=True, help="Draw once, all of it, and end.")
@click.option("--json", "as_json", is_flag=True, help="Write what is known now as JSON, and end.")
@click.option("--token-file", type=click.Path(path_type=Path), help="An operator's token.  [default: $ISTHMUS_TOKEN]")
@click.option("--ca", type=click.Path(path_type=Path), help="Who vouches for the cluster's certificate, as a PEM file.")
def command(*, url: str, every_s: float, once: bool, as_json: bool, token_file: Path | None, ca: Path | None) -> None:
    """Show the cluster at URL until Ctrl-C."""
    from dataclasses import replace

    from device_agent.addresses import parse_server
    from device_agent.http_fetch import HttpFetch
    from device_agent.settings import find_token

    address = replace(parse_server(url), ca=ca, token=find_token(token_file))
    fetch = HttpFetch(address)
    if as_json:
        write_json(read_status(fetch, address.http_base).as_plain())
    elif once:
        from cluster.cli.top_tables import draw

        output().print(draw(read_status(fetch, address.http_base), width=output().width))
    else:
        _watch(fetch, address.http_base, every_s)


def read_status(fetch: "HttpFetch", url: str) -> "ClusterStatus":
    """Ask the control application for all that is shown.

    Raises:
        ClusterUnreachable: it does not answer, or not as a cluster of this version does.
        Unauthorized, Forbidden: it wants an operator's token.
    """
    from cluster.cli.top_tables import ClusterStatus

    return ClusterStatus(
        url=url,
        version=_get(fetch, "/v1/version"),
        points=_get(fetch, "/v1/load")["points"],
        replicas=_get(fetch, "/v1/replicas")["replicas"],
        agents=_get(fetch, "/v1/agents")["agents"],
    )


def _get(fetch: "HttpFetch", path: str) -> dict[str, Any]:
    try:
        plain = json.loads(fetch(path, MOST_BYTES))
    except ValueError as error:
        raise ClusterUnreachable(f"{path} is no JSON: {error}", mend="see that URL is that of a cluster") from error
    if not isinstance(plain, dict):
        raise ClusterUnreachable(f"{path} is no JSON object", mend="see that URL is that of a cluster")
    return plain


def _watch(fetch: "HttpFetch", url: str, every_s: float) -> None:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    from cluster.cli.top_tables import draw

    console = output()

    def look() -> RenderableType:
        return draw(read_status(fetch, url), width=console.width, lines=console.height or PLAIN_LINES)

    # The first look is not excused: an address that is wrong should be said at once.
    shown = look()
    with Live(shown, console=console, screen=console.is_terminal, auto_refresh=False) as live:
        try:
            while True:
                live.refresh()
                time.sleep(every_s)
                try:
                    shown = look()
                    live.update(shown)
                except IsthmusError as error:
                    live.update(Group(Text(f"{error.message}; asking again", style="red"), shown))
        except KeyboardInterrupt:
            return
