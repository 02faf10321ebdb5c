"""``isthmus profile``: how long groups of layers, and the two halves of a bundle's options, take on this machine."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from cluster.cli.device_timing import time_device
from cluster.cli.screen import notes, output, write_json

if TYPE_CHECKING:
    from cluster.profiling.option_profile import OptionProfile

FOLDER: Final = Path("runs") / "profiles"

THREADS = click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True,
                       help="Cores that a graph may take.")  # fmt: skip
REPEATS = click.option("--repeats", type=click.IntRange(1, 10_000), default=20, show_default=True,
                       help="Timed runs of everything, dealt out over the whole measurement.")  # fmt: skip
JSON_OPTION = click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here too.")


@click.group()
def command() -> None:
    """Measure on this machine what plans are made of, with its spread, and keep it."""


@command.command()
@click.argument("backbone")
@THREADS
@REPEATS
@click.option("--most-groups", type=click.IntRange(1, 100), default=20, show_default=True,
              help="Merge the lightest neighbours, by MACs, until no more are left.")  # fmt: skip
@click.option("--backward", is_flag=True, help="Measure the backward pass of training too, with torch.")
@click.option("--out", type=click.Path(path_type=Path), help="[default: runs/profiles/BACKBONE-groups.json]")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the times and the tensors' sizes here, as a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print the profile as JSON instead of a table.")
def groups(
    *,
    backbone: str,
    threads: int,
    repeats: int,
    most_groups: int,
    backward: bool,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Time every run of consecutive groups of BACKBONE, executed as one.

    BACKBONE is named as in isthmus points; resnet50:random will do, as times do not depend on weights.
    """
    from cluster.backbones.registry import load_backbone
    from cluster.evaluation.plot import require_matplotlib
    from cluster.profiling.groups import measure_groups
    from cluster.profiling.plot import plot_groups
    from cluster.profiling.table import group_note, group_table
    from wire.records import to_plain

    if plot:
        require_matplotlib()
    loaded = load_backbone(backbone)
    with _bar() as show:
        profile = measure_groups(
            loaded, most_groups=most_groups, threads=threads, repeats=repeats, backward=backward, listener=show
        )
    file = profile.save(out or FOLDER / f"{profile.backbone}-groups.json")
    if plot:
        plot_groups(profile, plot)
    if as_json:
        write_json(to_plain(profile))
        return
    output().print(group_table(profile))
    output().print(group_note(profile))
    output().print(f"wrote {file}", soft_wrap=True)


@command.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--plot", required=True, type=click.Path(path_type=Path), help="The picture, a PNG.")
def draw(*, profile: Path, plot: Path) -> None:
    """Draw a profile of groups that was kept before."""
    from cluster.profiling.group_profile import GroupProfile
    from cluster.profiling.plot import plot_groups

    plot_groups(GroupProfile.load(profile), plot)
    output().print(f"wrote {plot}", soft_wrap=True)


@command.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@THREADS
@REPEATS
@click.option("--device-profile", "device_name", metavar="NAME",
              help="Emulate a known device: times as this machine's, multiplied by one factor.")  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="Show the known devices instead, and how well they are known.")
@click.option("--out", type=click.Path(path_type=Path), help="[default: runs/profiles/BACKBONE-device[-NAME].json]")
@JSON_OPTION
def device(
    *,
    bundle: Path | None,
    threads: int,
    repeats: int,
    device_name: str | None,
    listed: bool,
    out: Path | None,
    json_file: Path | None,
) -> None:
    """Time the device's half of BUNDLE's options.

    Head and coder apart, one frame at a time; options of one device graph share its times.
    """
    from cluster.cli.known_devices_table import print_known_devices
    from device_agent.known_devices import known_device

    if listed:
        print_known_devices()
        return
    if bundle is None:
        raise click.UsageError("give a BUNDLE, or --list")
    if device_name:
        known_device(device_name)  # before anything is measured for it
    with _bar() as show:
        profile = time_device(bundle, threads=threads, repeats=repeats, listener=show)
    if device_name:
        profile = _emulated(profile, bundle, device_name)
    _keep(profile, out, json_file)


@command.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--batch", "batches", default="1,2,4,8,16", show_default=True, help="Sizes of batch, with commas between."
)
@click.option("--backend", type=click.Choice(["onnxruntime", "triton"]), default="onnxruntime", show_default=True,
              help="In this process, or in a Triton of its own, its calls counted.")  # fmt: skip
@THREADS
@REPEATS
@click.option("--out", type=click.Path(path_type=Path), help="[default: runs/profiles/BACKBONE-cluster.json]")
@JSON_OPTION
def cluster(
    *,
    bundle: Path,
    batches: str,
    backend: Literal["onnxruntime", "triton"],
    threads: int,
    repeats: int,
    out: Path | None,
    json_file: Path | None,
) -> None:
    """Time the cluster's half of BUNDLE's options.

    The coder on one frame, and decoder and tail by size of batch.
    """
    from cluster.profiling.cluster_options import Engine, OnnxEngine, measure_cluster
    from cluster.profiling.triton_engine import TritonEngine
    from device_agent.device_profile import picture_for
    from wire.bundle import Bundle

    sizes = _sizes(batches)
    opened = Bundle.open(bundle, "cluster")
    picture = picture_for(opened.manifest.input)[0]
    with ExitStack() as stack:
        show = stack.enter_context(_bar())
        engine: Engine = OnnxEngine(threads)
        if backend == "triton":
            show("starting Triton", 0, 0)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-triton-")))
            triton = TritonEngine(folder, threads=threads, classes=len(opened.labels()), most_batch=max(sizes))
            engine = stack.enter_context(triton)
        profile = measure_cluster(bundle, picture, engine, batches=sizes, repeats=repeats, listener=show)
    _keep(profile, out, json_file)


def _emulated(profile: "OptionProfile", folder: Path, name: str) -> "OptionProfile":
    from device_agent.device_prediction import emulated_slowdown
    from device_agent.head import HeadRuntime
    from device_agent.known_devices import known_device
    from wire.bundle import Bundle

    whole = HeadRuntime(Bundle.open(folder, "device"), threads=profile.threads).local
    whole_s = profile.option_s()[whole.id]
    return profile.emulating(name, emulated_slowdown(known_device(name), profile.backbone, whole_s, whole.macs.head))


def _keep(profile: "OptionProfile", out: Path | None, json_file: Path | None) -> None:
    from cluster.profiling.table import option_note, option_table
    from wire.records import to_plain

    name = "-".join(filter(None, (profile.backbone, profile.side, profile.emulated)))
    file = profile.save(out or FOLDER / f"{name}.json")
    if json_file:
        write_json(to_plain(profile), json_file)
    output().print(option_table(profile))
    output().print(option_note(profile), markup=False)
    output().print(f"wrote {file}", soft_wrap=True)


def _sizes(text: str) -> list[int]:
    from wire.errors import SettingError

    try:
        return [int(size) for size in text.split(",")]
    except ValueError as error:
        raise SettingError(f"--batch is {text!r}", mend="give whole numbers such as 1,2,4,8,16") from error


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show how far a measurement is; gives what it tells."""
    from rich.progress import Progress

    with Progress(console=notes(), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show
