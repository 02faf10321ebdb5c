"""``isthmus up``: a cluster on this machine."""

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from cluster.cli.screen import notes, write_line
from wire.errors import SettingError, TritonUnavailable

if TYPE_CHECKING:
    from serve_apps.cluster_config import ClusterConfig

Tail = Literal["auto", "triton", "onnxruntime", "noop", "triton-noop"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--config", "file", type=click.Path(path_type=Path, dir_okay=False),
              help="Read the settings from a YAML file; the options here override it.")  # fmt: skip
@click.option("--host", help="Listen on this address.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Listen on this port.  [default: 8765]")
@click.option("--tokens", type=click.Path(path_type=Path, file_okay=False),
              help="Ask every device for a token; the folder of `isthmus token`.")  # fmt: skip
@click.option("--tls-cert", type=click.Path(path_type=Path, dir_okay=False), help="Speak TLS: the certificate as PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="The certificate's key as PEM.")
@click.option("--clear", is_flag=True, default=None,
              help="Listen beyond loopback without TLS: only where the network is encrypted already.")  # fmt: skip
@click.option("--tail", type=click.Choice(get_args(Tail)),
              help="Where tails run: auto (the default) is Triton if it is there; noop is the path.")  # fmt: skip
@click.option("--max-batch", type=click.IntRange(1, 1024),
              help="Frames that one Triton call may carry.  [default: 16]")  # fmt: skip
@click.option("--profile", type=click.Path(path_type=Path, dir_okay=False),
              help="Run each graph in the batches that are best by a file of `isthmus profile cluster`.")  # fmt: skip
@click.option("--log", type=click.Choice(["text", "json"]), help="The form of the replicas' logs.  [default: text]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: warning]")
@click.option("--trace", metavar="FILE|URL",
              help="Add the spans of frames to this file, or send them to an OpenTelemetry collector.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Say that it is ready as a line of JSON.")
def command(
    *,
    bundle: Path | None,
    file: Path | None,
    host: str | None,
    port: int | None,
    tokens: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    clear: bool | None,
    tail: Tail | None,
    max_batch: int | None,
    profile: Path | None,
    log: str | None,
    log_level: str | None,
    trace: str | None,
    as_json: bool,
) -> None:
    """Serve BUNDLE until Ctrl-C: Ray, Serve with HAProxy, Triton, one application for each partition point."""
    from serve_apps.local_cluster import LocalCluster, exposed_listeners

    config = read_config(file, bundle).with_options(
        listen_host=host,
        listen_port=port,
        tail_kind=tail,
        tail_max_batch=max_batch,
        tail_profile=_text(profile),
        security_tokens=_text(tokens),
        security_tls_cert=_text(tls_cert),
        security_tls_key=_text(tls_key),
        security_clear=clear,
        observe_log=log,
        observe_level=log_level,
        observe_trace=_here(trace),
    )
    if config.tail.kind == "auto":
        config = config.with_options(tail_kind="triton" if config.tail.address else _best_tail())
    with ExitStack() as stack:
        try:
            with notes().status("starting") as status:
                cluster = LocalCluster(config, on_stage=lambda stage: status.update(f"starting {stage}"))
                stack.enter_context(cluster)
        except KeyboardInterrupt:
            notes().print("stopped before it was ready")
            return
        if exposed := exposed_listeners(but=config.listen.port):
            notes().print(
                f"[yellow]note[/] Ray itself opened {len(exposed)} ports that other machines can reach; "
                f"close them with a firewall: {', '.join(exposed)}"
            )
        stop = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):  # from here on they ask, and a second one does not hurry us
            signal.signal(name, lambda *_: stop.set())
        url = cluster.url
        if as_json:
            write_line({"event": "cluster.ready", "url": url, "points": cluster.points})
        else:
            notes().print(f"ready at {url}: isthmus-agent --server {url} --source CLIP    (Ctrl-C stops)")
        stop.wait()
        notes().print("stopping")


def read_config(file: Path | None, bundle: Path | None) -> "ClusterConfig":
    """Read the configuration file, if there is one; a bundle that is named beside it is taken instead of the file's.

    Raises:
        SettingError: the file makes no sense, or nothing names a bundle.
    """
    from serve_apps.cluster_config import ClusterConfig, load_config

    if file is not None:
        return load_config(file).with_options(bundle=str(bundle) if bundle is not None else None)
    if bundle is None:
        raise SettingError("no bundle was named", mend="give the bundle's folder, or --config FILE")
    return ClusterConfig(bundle=str(bundle))


def _here(trace: str | None) -> str | None:
    """Give where spans go as replicas can use it, which run in folders of their own."""
    return trace if trace is None or "://" in trace else str(Path(trace).absolute())


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _best_tail() -> Literal["triton", "onnxruntime"]:
    from cluster.triton.server import find_triton

    try:
        find_triton()
    except TritonUnavailable as error:
        notes().print(f"[yellow]note[/] {error.message}: tails run on ONNX Runtime inside the replicas instead")
        return "onnxruntime"
    return "triton"
