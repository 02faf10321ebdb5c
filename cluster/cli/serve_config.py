"""``isthmus serve-config``: a configuration as Ray Serve's own file, for a Ray cluster that runs already."""

import json
from pathlib import Path
from typing import Final

import click

from cluster.cli.screen import notes

HEAD: Final = """\
# Ray Serve's file of an Isthmus cluster, made by `isthmus serve-config`. Deploy it on a node of the Ray cluster:
#     serve deploy serve.yaml
# To change the bundle without losing a frame, name the new folder as `bundle` and the old one under `also`, and write
# and deploy this again; once more without `also` when the agents have moved. Every node needs these folders, Isthmus,
# and this environment before Ray starts there:
"""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="Write here; to standard output when left out.")  # fmt: skip
def command(*, file: Path, out: Path | None) -> None:
    """Write Ray Serve's own YAML from the configuration FILE of `isthmus up --config`."""
    import yaml  # type: ignore[import-untyped]  # it ships no stubs

    from serve_apps.applications import serve_document
    from serve_apps.cluster_config import load_config
    from serve_apps.ray_settings import NODE_ENVIRONMENT

    config = load_config(file)
    if config.tail.kind == "auto":
        config = config.with_options(tail_kind="triton")
    # Through JSON, so that what applications share is written out for each.
    document = yaml.safe_dump(json.loads(json.dumps(serve_document(config))), sort_keys=False)
    environment = "".join(f"#     {name}={value}\n" for name, value in NODE_ENVIRONMENT.items())
    text = f"{HEAD}{environment}{document}"
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    notes().print(f"wrote {out}")
