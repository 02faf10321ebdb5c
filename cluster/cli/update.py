"""``isthmus update``: a running cluster gets a new bundle, and no frame is lost."""

import http.client
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from cluster.cli.screen import notes, write_line
from wire.errors import BundleError, ClusterUnreachable, IsthmusError, error_class

LOOK_EVERY_S: Final = 1.0
TIMEOUT_S: Final = 60.0
"""The cluster checks both sides of the bundle, file by file, before it answers."""
MOST_BYTES: Final = 2**20


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False))
@click.argument("url", default="ws://127.0.0.1:8765")
@click.option("--token-file", type=click.Path(path_type=Path), help="An operator's token.  [default: $ISTHMUS_TOKEN]")
@click.option("--ca", type=click.Path(path_type=Path), help="Who vouches for the cluster's certificate, as a PEM file.")
@click.option("--within", default=600.0, show_default=True, type=click.FloatRange(0, 86400),
              help="Seconds after which the old bundle is dropped, whoever still uses it.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Say how far it is as lines of JSON.")
def command(*, bundle: Path, url: str, token_file: Path | None, ca: Path | None, within: float, as_json: bool) -> None:
    """Serve BUNDLE beside the bundle of the cluster at URL until every agent has moved, and then drop the old one.

    BUNDLE is a folder that the cluster's machines see under the same path.
    """
    cluster = _Cluster(url, token_file, ca)
    status = cluster.ask("POST", {"bundle": str(bundle.resolve()), "within_s": within})
    said = None
    while True:
        if status != said:
            _say(status, as_json=as_json)
            said = status
        if status["state"] in ("done", "failed"):
            break
        time.sleep(LOOK_EVERY_S)
        status = cluster.ask("GET")
    if status["state"] == "failed":
        raise BundleError(f"the cluster serves its old bundle still: {status['error']}", mend="mend it, and try again")


def _say(status: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_line({"event": "cluster.update", **status})
        return
    left = f", {status['replicas_left']} replicas and {status['streams_left']} streams to go"
    notes().print(
        f"{status['state']} {status['bundle'][:12]}{left if status['state'] in ('loading', 'moving') else ''}"
    )


class _Cluster:
    """Where ``/v1/update`` is."""

    def __init__(self, url: str, token_file: Path | None, ca: Path | None) -> None:
        from device_agent.addresses import parse_server
        from device_agent.settings import find_token
        from device_agent.trust import tls_context

        self._address = replace(parse_server(url), ca=ca, token=find_token(token_file))
        self._tls = tls_context(ca) if self._address.secure else None

    def ask(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask how far an update is, or begin one; raises the IsthmusError that the cluster answered with."""
        host, port = self._address.host, self._address.port
        connection = (
            http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
            if self._tls is None
            else http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._tls)
        )
        headers = {"Content-Type": "application/json", **self._address.headers}
        path = f"{self._address.prefix}/v1/update"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            plain = json.loads(response.read(MOST_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ClusterUnreachable(
                f"the cluster at {self._address.http_base} does not answer: {error}", mend="see that URL is right"
            ) from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise _refusal(plain)
        return plain


def _refusal(plain: dict[str, Any]) -> IsthmusError:
    return error_class(str(plain.get("code")))(str(plain.get("message")), mend=str(plain.get("mend", "")))
