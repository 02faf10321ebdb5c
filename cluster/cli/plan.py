"""``isthmus plan``: the papers' planners over what was measured here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.plan_machines import TIMES_OPTION, link_options, links, machine_options, machines, require_power
from cluster.cli.plan_schedule import schedule
from cluster.cli.plan_tables import tables
from cluster.cli.screen import output, write_json
from wire.errors import SettingError

if TYPE_CHECKING:
    from cluster.planning.cut_plan import Planner
    from cluster.planning.machines import Machines
    from cluster.planning.tables import CutTable, Objective


@click.group()
def command() -> None:
    """Plan cuts and schedules as the papers do, over tables of what was measured.

    \b
    cut        one cut: Neurosurgeon, JALAD or BottleNet, over a bundle's options
    schedule   any number of changes of sides: JointDNN, over a profile of groups
    tables     the papers' own tables for our backbones
    """  # noqa: D301 - click wants the character, not the two that a raw string has


command.add_command(schedule)
command.add_command(tables)


@command.command()
@click.argument("source", type=click.Path(path_type=Path), required=False)
@click.option("--planner", type=click.Choice(["neurosurgeon", "jalad", "bottlenet"]), default="bottlenet",
              show_default=True)  # fmt: skip
@click.option("--objective", type=click.Choice(["latency", "energy"]), default="latency", show_default=True,
              help="What is made least: the seconds of a frame, or the device's joules for it.")  # fmt: skip
@click.option("--max-drop", default=5.0, show_default=True, help="How many points of top-1 may be lost.")
@click.option("--k-mobile", default=1.0, show_default=True, help="BottleNet's load of the device.")
@click.option("--k-cloud", default=1.0, show_default=True, help="The load of the cluster.")
@click.option("--only", metavar="TEXT", multiple=True,
              help="Choose among these options alone, as in isthmus eval; may be repeated.")  # fmt: skip
@TIMES_OPTION
@link_options
@machine_options
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the plans here.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path),
              help="Draw the best option of each point here, as a PNG.")  # fmt: skip
def cut(
    *,
    source: Path | None,
    planner: "Planner",
    objective: "Objective",
    max_drop: float,
    k_mobile: float,
    k_cloud: float,
    only: tuple[str, ...],
    times: tuple[Path, ...],
    link_names: tuple[str, ...],
    mbps: float | None,
    json_file: Path | None,
    plot_file: Path | None,
    **machine: Any,
) -> None:
    """Choose one cut over each link.

    SOURCE is a bundle, by default the one that ships; its options are timed on this machine. Or it is a profile of
    groups (isthmus profile groups): then every boundary is an option that sends its features in float32, as
    Neurosurgeon does.
    """
    from cluster.evaluation.plot import require_matplotlib
    from cluster.planning.cut_picture import plot_cuts
    from cluster.planning.cut_plan import CutRequest, plan_cut
    from cluster.planning.plan_record import cut_record
    from cluster.planning.plan_text import cut_text

    if plot_file:
        require_matplotlib()
    request = CutRequest(
        planner=planner, objective=objective, most_drop=max_drop / 100, k_mobile=k_mobile, k_cloud=k_cloud
    )
    chosen_links = links(link_names, mbps)
    backbone, table, made, source_said = _table(source, only, times, machine)
    require_power(objective, made)
    plans = [plan_cut(table, link, request) for link in chosen_links]
    if json_file:
        remarks = {"backbone": backbone, "machines": made.said(), "source": source_said}
        write_json(remarks | {"plans": [cut_record(plan) for plan in plans]}, json_file)
    if plot_file:
        plot_cuts(plans, plot_file, title=f"{backbone}, {planner}: {made.said()}")
    output().print(cut_text(plans).rich())
    output().print(f"{backbone}; {source_said}\n{made.said()}", markup=False, soft_wrap=True)


def _table(
    source: Path | None, only: tuple[str, ...], stored: tuple[Path, ...], machine: dict[str, Any]
) -> "tuple[str, CutTable, Machines, str]":
    """Give the backbone, the table, its machines, and where its seconds come from."""
    if source and source.is_file():
        if only or stored:
            raise SettingError("--only and --times are of a bundle's options", mend="leave them out, or give a bundle")
        from cluster.planning.table_maker import TensorCoding, feature_table, whole_s
        from cluster.profiling.group_profile import GroupProfile

        profile = GroupProfile.load(source)
        made = machines(**machine, backbone=profile.backbone, whole_s=whole_s(profile), macs=sum(profile.macs))
        table = feature_table(profile, made, TensorCoding())
        return profile.backbone, table, made, f"groups on {profile.machine}"
    from cluster.cli.plan_times import profiled_bundles
    from cluster.planning.timed_bundle import selected, time_bundle

    ((bundle, profiles),) = profiled_bundles([source] if source else [], stored)
    timed = time_bundle(bundle, profiles, keep=selected(bundle, only))
    made = machines(
        **machine, backbone=timed.backbone, whole_s=timed.whole_s, macs=timed.whole_macs,
        emulated=timed.device.emulated,
    )  # fmt: skip
    return timed.backbone, timed.table(made), made, timed.source
