"""``isthmus doctor``: a deployment looked at from the outside, one sentence for each thing that is looked at.

Needs no more than what the agent needs, so it runs on a device too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.screen import notes, output, write_json

if TYPE_CHECKING:
    from device_agent.doctor.examination import ExaminationSettings
    from device_agent.doctor.finding import Finding

EXAMPLES: Final = """\b
Examples:
  isthmus doctor                                       # the cluster on this machine
  isthmus doctor wss://edge.example:8765 --ca ca.pem --token-file camera-1.token --device-id camera-1
  isthmus doctor ws://127.0.0.1:8765 --bundle bundles/efficientnet-lite0
  isthmus doctor --digest 9026b964ef56 --picture cat.jpg --json

\b
The exit code is 0 if nothing failed, and 1 otherwise; warnings are no failures.
"""


@click.command(epilog=EXAMPLES)
@click.argument("url", default="ws://127.0.0.1:8765")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False),
              help="What `isthmus token create` printed, as for the agent.  [default: $ISTHMUS_TOKEN]")  # fmt: skip
@click.option("--device-id", help="The name that the token is of.  [default: this machine's name]")
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Who vouches for the cluster's certificate, as a PEM file.  [default: the system's]")  # fmt: skip
@click.option("--bundle", type=click.Path(path_type=Path, file_okay=False),
              help="The bundle that the cluster should serve, by its folder.")  # fmt: skip
@click.option("--digest", metavar="DIGITS", help="The same, by the first digits of its digest.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Send this picture.  [default: a pattern]")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False),
              help="Where bundles are kept.  [default: where the agent keeps them]")  # fmt: skip
@click.option("--fetch", "anew", is_flag=True, help="Fetch every file of the bundle, also those that the cache has.")
@click.option("--timeout", "timeout_s", default=5.0, show_default=True, type=click.FloatRange(0.1, 600),
              help="Seconds that any single wait may take.")  # fmt: skip
@click.option("--wake-timeout", "wake_timeout_s", default=120.0, show_default=True, type=click.FloatRange(0, 3600),
              help="Seconds that a point which sleeps may take to wake.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def command(
    context: click.Context,
    *,
    url: str,
    token_file: Path | None,
    device_id: str | None,
    ca: Path | None,
    bundle: Path | None,
    digest: str | None,
    picture: Path | None,
    cache: Path | None,
    anew: bool,
    timeout_s: float,
    wake_timeout_s: float,
    as_json: bool,
) -> None:
    """Check the deployment at URL from the outside, and say what is wrong in a sentence each, and how to mend it.

    What is looked at: whether it can be reached, its TLS, its release, its clock, the token, the bundle, the load of
    every point, and a real frame through every point, over the same path that an agent's frames take. A point that
    sleeps is woken for it. Nothing else is changed, but that a bundle which is not in the cache is fetched into it.
    """
    import logging
    from dataclasses import replace

    from device_agent.addresses import parse_server
    from device_agent.doctor.examination import ExaminationSettings
    from device_agent.doctor.finding import is_well
    from device_agent.logs import log_to_stderr
    from device_agent.settings import default_cache, default_device_id, find_token
    from wire.ids import DeviceId

    log_to_stderr(logging.WARNING)
    device = DeviceId(device_id) if device_id is not None else default_device_id()
    server = replace(parse_server(url), ca=ca, token=find_token(token_file), device=device)
    settings = ExaminationSettings(
        server=server,
        device=device,
        cache=cache or default_cache(),
        bundle=bundle,
        digest=digest,
        picture=picture,
        anew=anew,
        timeout_s=timeout_s,
        wake_timeout_s=wake_timeout_s,
    )
    if as_json:
        from device_agent.doctor.examination import examine

        findings = list(examine(settings, lambda _doing: None))
        plain = [finding.as_plain() for finding in findings]
        write_json({"server": server.http_base, "well": is_well(findings), "findings": plain})
    else:
        findings = list(_shown(settings))
    if not is_well(findings):
        context.exit(1)


def _shown(settings: "ExaminationSettings") -> "Iterator[Finding]":
    """Draw each finding as soon as it is there."""
    from cluster.cli.doctor_lines import draw, draw_sum
    from device_agent.doctor.examination import examine

    findings = []
    with notes().status("looking") as status:
        for finding in examine(settings, status.update):
            findings.append(finding)
            # Both streams may be one terminal.
            status.stop()
            output().print(draw(finding))
            status.start()
            yield finding
    output().print(draw_sum(findings))
