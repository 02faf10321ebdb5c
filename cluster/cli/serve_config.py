"""``isthmus serve-config``: a configuration as Ray Serve's own file, for a Ray cluster that runs already."""

import json
from pathlib import Path
from textwrap import indent
from typing import Final

import click

from cluster.cli.screen import notes

MADE: Final = "# Made by `isthmus serve-config`: change what it was made from, and make it again.\n"
HEAD: Final = """\
# Ray Serve's file of an Isthmus cluster. Deploy it on a node of the Ray cluster:
#     serve deploy serve.yaml
# To change the bundle without losing a frame, name the new folder as `bundle` and the old one under `also`, and write
# and deploy this again; once more without `also` when the agents have moved. Every node needs these folders, Isthmus,
# and this environment before Ray starts there:
"""
PATCH: Final = """\
apiVersion: ray.io/v1
kind: RayService
metadata:
  name: {name}
spec:
  serveConfigV2: |
"""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--bundle-at", "bundles_at", type=click.Path(path_type=Path, file_okay=False), multiple=True,
              help="Where the bundle lies here, if the nodes see it elsewhere; again for each older one.")  # fmt: skip
@click.option("--patch", metavar="NAME",
              help="Write a kustomize patch of the RayService NAME, not the file for `serve deploy`.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="Write here; to standard output when left out.")  # fmt: skip
def command(*, file: Path, bundles_at: tuple[Path, ...], patch: str | None, out: Path | None) -> None:
    """Write Ray Serve's own YAML from the configuration FILE of `isthmus up --config`."""
    import yaml  # type: ignore[import-untyped]  # it ships no stubs

    from serve_apps.applications import serve_document
    from serve_apps.cluster_config import load_config
    from serve_apps.ray_settings import NODE_ENVIRONMENT

    config = load_config(file)
    if config.tail.kind == "auto":
        config = config.with_options(tail_kind="triton")
    # Through JSON, so that what applications share is written out for each.
    plain = json.loads(json.dumps(serve_document(config, bundles_at=bundles_at)))
    document = yaml.safe_dump(plain, sort_keys=False)
    if patch is not None:
        text = MADE + PATCH.format(name=patch) + indent(document, "    ")
    else:
        environment = "".join(f"#     {name}={value}\n" for name, value in NODE_ENVIRONMENT.items())
        text = f"{MADE}{HEAD}{environment}{document}"
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    notes().print(f"wrote {out}")
