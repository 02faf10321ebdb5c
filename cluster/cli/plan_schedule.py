"""``isthmus plan schedule``: JointDNN's schedules of a profile of groups."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.plan_machines import (
    link_options,
    links,
    machine_options,
    machines,
    require_power,
    tensor_options,
)
from cluster.cli.screen import output, write_json
from wire.errors import SettingError

if TYPE_CHECKING:
    from cluster.planning.jointdnn import Limits
    from cluster.planning.table_maker import FrameCoding
    from cluster.planning.tables import Objective


@click.command()
@click.argument("group_profile", type=click.Path(path_type=Path))
@click.option("--objective", type=click.Choice(["latency", "energy"]), default="latency", show_default=True,
              help="What is made least: the seconds of a frame, or the device's joules for it.")  # fmt: skip
@click.option("--max-energy-mj", type=float, help="What a frame may cost the device.")
@click.option("--max-cluster-ms", type=float, help="How long the cluster may work for a frame.")
@click.option("--max-latency-ms", type=float, help="How long a frame may take.")
@click.option("--training", is_flag=True, help="Plan a training step; the profile needs a backward pass.")
@tensor_options
@click.option("--frame-as", type=click.Choice(["jpeg", "png", "pixels"]), default="jpeg", show_default=True,
              help="Send the frame itself as JPEG of quality 75, as PNG, or as it is.")  # fmt: skip
@link_options
@machine_options
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the plans here.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="Draw the schedules here, as a PNG.")
def schedule(
    *,
    group_profile: Path,
    objective: "Objective",
    max_energy_mj: float | None,
    max_cluster_ms: float | None,
    max_latency_ms: float | None,
    training: bool,
    tensor_bits: int,
    tensor_ratio: float,
    frame_as: "FrameCoding",
    link_names: tuple[str, ...],
    mbps: float | None,
    json_file: Path | None,
    plot_file: Path | None,
    **machine: Any,
) -> None:
    """Plan where each group of GROUP_PROFILE runs, with any number of changes of sides.

    Without limits the schedule is a shortest path; with them, the solution of JointDNN's integer program.
    """
    from cluster.evaluation.plot import require_matplotlib
    from cluster.planning.plan_record import schedule_record
    from cluster.planning.plan_text import said, schedule_text, strip
    from cluster.planning.schedule_picture import plot_schedules
    from cluster.planning.schedule_plan import plan_schedule
    from cluster.planning.table_maker import TensorCoding, backward_table, group_table, whole_s
    from cluster.profiling.group_profile import GroupProfile

    if plot_file:
        require_matplotlib()
    chosen_links = links(link_names, mbps)
    limits = _limits(max_energy_mj, max_cluster_ms, max_latency_ms)
    profile = GroupProfile.load(group_profile)
    made = machines(**machine, backbone=profile.backbone, whole_s=whole_s(profile), macs=sum(profile.macs))
    require_power("energy" if max_energy_mj is not None else objective, made)
    sent = TensorCoding(bits=tensor_bits, ratio=tensor_ratio, frame=frame_as)
    table = group_table(profile, made, sent)
    backward = backward_table(profile, made) if training else None
    plans, refused = [], []
    for link in chosen_links:
        try:
            plans.append(plan_schedule(table, link, objective=objective, backward=backward, limits=limits))
        except SettingError as error:
            refused.append((link.name, error))
    for name, refusal in refused:
        output().print(f"{name}: {refusal.message}", markup=False, soft_wrap=True)
    if not plans:
        raise refused[-1][1]
    remarks = {"backbone": f"{profile.backbone}, groups on {profile.machine}", "machines": made.said(),
               "coding": sent.said()}  # fmt: skip
    if json_file:
        write_json(remarks | {"plans": [schedule_record(plan, profile.boundaries) for plan in plans]}, json_file)
    if plot_file:
        title = f"{profile.backbone}, JointDNN, least {objective}: {made.said()}"
        plot_schedules(plans, profile.boundaries, table.upload_bytes, plot_file, title=title)
    for plan in plans:
        output().print(f"{plan.link.name}: {said(plan.schedule, profile.boundaries)}", markup=False)
        output().print(strip(plan.schedule))
    output().print(schedule_text(plans, profile.boundaries).rich())
    output().print("\n".join(remarks.values()), markup=False, soft_wrap=True)


def _limits(energy_mj: float | None, cluster_ms: float | None, latency_ms: float | None) -> "Limits | None":
    """Give the limits in joules and seconds; None where there is none."""
    from cluster.planning.jointdnn import Limits

    given = {"energy_j": energy_mj, "cluster_s": cluster_ms, "latency_s": latency_ms}
    limits = {name: most / 1e3 for name, most in given.items() if most is not None}
    return Limits(**limits) if limits else None
