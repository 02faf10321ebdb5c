"""``isthmus up``: a cluster on this machine."""

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, get_args

import click

from cluster.cli.screen import notes, write_line
from wire.errors import TritonUnavailable

Tail = Literal["auto", "triton", "onnxruntime", "noop", "triton-noop"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8765, show_default=True, type=click.IntRange(1, 65535))
@click.option("--tail", type=click.Choice(get_args(Tail)), default="auto", show_default=True,
              help="Where tails run: Triton where there is one; the noop kinds measure the path.")  # fmt: skip
@click.option(
    "--max-batch",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Frames that one Triton call may carry.",
)
@click.option("--json", "as_json", is_flag=True, help="Say that it is ready as a line of JSON.")
def command(*, bundle: Path, host: str, port: int, tail: Tail, max_batch: int, as_json: bool) -> None:
    """Serve BUNDLE until Ctrl-C: Ray, Serve with HAProxy, Triton, one application for each partition point."""
    from serve_apps.local_cluster import ClusterSettings, LocalCluster, exposed_listeners

    kind = _best_tail() if tail == "auto" else tail
    settings = ClusterSettings(bundle, host, port, kind, max_batch)
    _interrupt_on(signal.SIGTERM)
    with ExitStack() as stack:
        try:
            with notes().status("starting") as status:
                cluster = LocalCluster(settings, on_stage=lambda stage: status.update(f"starting {stage}"))
                stack.enter_context(cluster)
        except KeyboardInterrupt:
            notes().print("stopped before it was ready")
            return
        if exposed := exposed_listeners():
            notes().print(
                f"[yellow]note[/] Ray itself opened {len(exposed)} ports that other machines can reach; "
                f"close them with a firewall: {', '.join(exposed)}"
            )
        stop = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):  # from here on they ask, and a second one does not hurry us
            signal.signal(name, lambda *_: stop.set())
        url = f"ws://{host}:{port}"
        if as_json:
            write_line({"event": "cluster.ready", "url": url, "points": cluster.points})
        else:
            notes().print(f"ready at {url}: isthmus-agent --server {url} --source CLIP    (Ctrl-C stops)")
        stop.wait()
        notes().print("stopping")


def _best_tail() -> Literal["triton", "onnxruntime"]:
    from cluster.triton.server import find_triton

    try:
        find_triton()
    except TritonUnavailable as error:
        notes().print(f"[yellow]note[/] {error.message}: tails run on ONNX Runtime inside the replicas instead")
        return "onnxruntime"
    return "triton"


def _interrupt_on(name: signal.Signals) -> None:
    """Have a signal end the start as Ctrl-C does."""
    signal.signal(name, lambda *_: signal.raise_signal(signal.SIGINT))
