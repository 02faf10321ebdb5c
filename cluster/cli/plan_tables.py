"""``isthmus plan tables``: the papers' own tables, for our backbones."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cluster.cli.plan_machines import TIMES_OPTION, machine_options, machines, require_power, tensor_options
from cluster.cli.screen import output, write_json
from wire.errors import SettingError

if TYPE_CHECKING:
    from cluster.planning.bottlenet_report import Partition
    from cluster.planning.jointdnn_report import Workload
    from cluster.planning.paper_tables import PaperTables
    from cluster.planning.table_maker import FrameCoding, TensorCoding
    from cluster.planning.tables import CutOption

ALL: Final = "all"
DOCUMENT: Final = Path("docs/planning.md")
SCHEDULES_PLOT: Final = "planning-schedules.png"
CUTS_PLOT: Final = "planning-cuts.png"
PAPERS: Final = ("jointdnn", "jalad", "bottlenet")
CODECS: Final[dict[str, tuple[str, ...]]] = {
    "jointdnn": (),
    "jalad": ("jalad",),
    "bottlenet": ("isthmus", "bottlenet"),
}
"""Whose cuts a paper's planner chooses from; JointDNN has no codec to choose."""
PICTURES: Final = ("png", "jpeg")
FRAMES: "Final[tuple[FrameCoding, ...]]" = ("png", "jpeg")
"""How JointDNN's schedules send the frame itself: as it sends all tensors, and smaller."""


@click.command()
@click.option("--paper", type=click.Choice([*PAPERS, ALL]), default=ALL, show_default=True)
@click.option("--profile", "profiles", type=click.Path(path_type=Path), multiple=True,
              help="For JointDNN: a profile of groups, or a folder of them; may be repeated.")  # fmt: skip
@click.option("--bundle", "bundles", type=click.Path(path_type=Path), multiple=True,
              help="For JALAD and BottleNet: a bundle with options of their codecs, of ours, or of pictures; may be "
              "repeated.  [default: the one that ships]")  # fmt: skip
@TIMES_OPTION
@tensor_options
@machine_options
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--write-docs", is_flag=True, help=f"Write the measured blocks of {DOCUMENT}, and its pictures.")
@click.option("--document", type=click.Path(path_type=Path), default=DOCUMENT, show_default=True,
              help="With --write-docs: the document; pictures go to img beside it.")  # fmt: skip
def tables(
    *,
    paper: str,
    profiles: tuple[Path, ...],
    bundles: tuple[Path, ...],
    times: tuple[Path, ...],
    tensor_bits: int,
    tensor_ratio: float,
    json_file: Path | None,
    write_docs: bool,
    document: Path,
    **machine: Any,
) -> None:
    """Print the tables of JointDNN, JALAD and BottleNet for our backbones and the machines given."""
    from cluster.comparison.document import fill
    from cluster.evaluation.plot import require_matplotlib
    from cluster.planning.bottlenet_report import partitions
    from cluster.planning.jalad_report import decouplings
    from cluster.planning.paper_tables import bottlenet_tables, jalad_tables, jointdnn_tables, together
    from cluster.planning.table_maker import TensorCoding
    from cluster.planning.tables import RADIOS

    if write_docs:
        require_matplotlib()
        if paper != ALL:
            raise SettingError(f"{document} has the tables of all papers", mend="write it with --paper all")
    wanted = PAPERS if paper == ALL else (paper,)
    parts: list[PaperTables] = []
    said: list[str] = []
    if "jointdnn" in wanted:
        sent = [TensorCoding(bits=tensor_bits, ratio=tensor_ratio, frame=frame) for frame in FRAMES]
        chains, said = _chains(profiles, sent, machine)
        parts.append(jointdnn_tables(chains))
    if codecs := [codec for name in wanted for codec in CODECS[name]]:
        options, options_said = _options(bundles, codecs, times, machine)
        said = [*said, *options_said]
    if "jalad" in wanted:
        parts.append(jalad_tables(decouplings(options)))
    if "bottlenet" in wanted:
        cuts = partitions(options, list(RADIOS.values()), codecs=CODECS["bottlenet"])
        parts.append(bottlenet_tables(cuts))
    found = together(parts, machines=said)
    if json_file:
        write_json(found.record, json_file)
    for noted in found.tables.values():
        table = noted.table.rich()
        table.title = None  # a long title would be broken to the width of a narrow table
        output().print(noted.table.title, markup=False, style="bold")
        output().print(table, noted.note, markup=False)
    for said_of in found.machines:
        output().print(said_of, markup=False)
    if write_docs:
        _draw(max(chains, key=lambda chain: chain.cuts), cuts, options_said[0], document.parent / "img")
        fill(document, found.blocks())
        output().print(f"wrote {document}", soft_wrap=True)


def _chains(
    files: Sequence[Path], sent: "Sequence[TensorCoding]", machine: Mapping[str, Any]
) -> "tuple[list[Workload], list[str]]":
    """Plan the profiles, and say on what machines they are."""
    from cluster.planning.jointdnn_report import workloads
    from cluster.planning.table_maker import whole_s
    from cluster.planning.tables import RADIOS
    from cluster.profiling.group_profile import GroupProfile

    found = [GroupProfile.load(file) for file in _files(files)]
    made = [machines(**machine, backbone=each.backbone, whole_s=whole_s(each), macs=sum(each.macs)) for each in found]
    for each in made:
        require_power("energy", each)
    said = (
        f"Groups of {profile.backbone} ({profile.machine}); {each.said()}."
        for profile, each in zip(found, made, strict=True)
    )
    planned = workloads(list(zip(found, made, strict=True)), sent, list(RADIOS.values()))
    return planned, [*said, *(f"Between groups {coding.said()}." for coding in sent)]


def _files(given: Sequence[Path]) -> list[Path]:
    """Give the files, those of a folder in the order of their names.

    Raises:
        SettingError: there is none.
    """
    files = [file for path in given for file in (sorted(path.glob("*-groups.json")) if path.is_dir() else [path])]
    if not files:
        raise SettingError(
            "JointDNN's table is of profiles of groups, and none was given",
            mend="isthmus profile groups BACKBONE makes one; give it, or its folder, with --profile",
        )
    return files


def _options(
    folders: Sequence[Path], codecs: Iterable[str], times: Sequence[Path], machine: Mapping[str, Any]
) -> "tuple[tuple[CutOption, ...], list[str]]":
    """Give the options of some codecs and of pictures, of all bundles together, and say where their seconds come from.

    Raises:
        SettingError: the bundles are of several backbones.
    """
    from cluster.cli.plan_times import profiled_bundles
    from cluster.planning.timed_bundle import pooled, time_bundle

    kept = {*codecs, *PICTURES}
    timed = [
        time_bundle(bundle, profiles, keep=lambda option: option.codec in kept)
        for bundle, profiles in profiled_bundles(folders, times)
    ]
    backbones = {each.backbone for each in timed}
    if len(backbones) > 1:
        raise SettingError(f"these bundles are of {' and '.join(sorted(backbones))}", mend="give those of one backbone")
    tables, said = [], []
    for each in timed:
        made = machines(
            **machine, backbone=each.backbone, whole_s=each.whole_s, macs=each.whole_macs,
            emulated=each.device.emulated,
        )  # fmt: skip
        require_power("energy", made)
        tables.append(each.table(made))
        codecs_said = ", ".join(dict.fromkeys(option.codec for option in each.options))
        said.append(f"Options of {each.backbone} ({codecs_said}): {each.source}; {made.said()}.")
    return pooled(tables), said


def _draw(chain: "Workload", cuts: "Sequence[Partition]", cuts_said: str, folder: Path) -> None:
    """Draw the cuts of the first codec, and the schedules of one chain."""
    from cluster.planning.cut_picture import plot_cuts
    from cluster.planning.schedule_picture import plot_schedules

    plans = [each.plans["latency"] for each in cuts if each.codec == cuts[0].codec]
    title = f"BottleNet's choice among the cuts of {cuts[0].codec}, least latency. {cuts_said}"
    plot_cuts(plans, folder / CUTS_PLOT, title=title)
    title = (
        f"JointDNN's schedules of {chain.backbone}, {chain.phase}, least {chain.objective}, frame as {chain.frame}. "
    )
    sizes, said = chain.sizes, chain.machines.said()
    plot_schedules(chain.plans, chain.boundaries, sizes, folder / SCHEDULES_PLOT, title=title + said)
