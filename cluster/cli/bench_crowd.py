"""``isthmus bench crowd``: many agents on one cluster whose other load goes up and down, damped and undamped."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.benchmark_options import find_bundle, with_inputs, with_results
from cluster.cli.screen import output, write_json
from wire.errors import SettingError

if TYPE_CHECKING:
    from loadtests.virtual_load import Arrivals

OUT: Final = Path("runs/crowd")
DOCUMENT: Final = Path("docs/crowd.md")
PICTURE: Final = "crowd.png"
DELAY_S: Final = 0.010


@click.command()
@click.option("--agents", type=click.IntRange(min=1), default=100, show_default=True, help="Of them in virtual time.")
@click.option("--real-agents", type=click.IntRange(min=0), default=20, show_default=True,
              help="Of them for real, each a process of 150 MB; 0 plays nothing for real.")  # fmt: skip
@click.option("--tables", "tables_file", type=click.Path(path_type=Path), default=None,
              help="Take the tables that `bench adapt` measured from this file.  [default: measure them]")  # fmt: skip
@click.option("--servers", type=click.IntRange(min=1), default=4, show_default=True, help="Of the virtual cluster.")
@click.option("--fps", type=click.FloatRange(min=0.1, max=60), default=5.0, show_default=True,
              help="Of each virtual agent.")  # fmt: skip
@click.option("--real-fps", type=click.FloatRange(min=0.1, max=60), default=1.0, show_default=True,
              help="Of each real agent.")  # fmt: skip
@click.option("--background", default="20:0,40:60,40:90,40:0", show_default=True, metavar="STEPS",
              help="What others ask of the virtual cluster: SECONDS:PERCENT, …, of what its servers can answer one "
              "frame after the other.")  # fmt: skip
@click.option("--real-background", default="20:0,30:60,30:90,30:0", show_default=True, metavar="STEPS",
              help="The same of the real one, which is one server.")  # fmt: skip
@click.option("--arrivals", type=click.Choice(["even", "poisson"]), default="even", show_default=True,
              help="How the others' frames come in virtual time.")  # fmt: skip
@click.option("--mbps", type=click.FloatRange(min=0.1), default=None,
              help="Real agents share one emulated link of this rate.  [default: straight to the cluster]")  # fmt: skip
@click.option("--link-mbps", type=click.FloatRange(min=0.1), default=20.0, show_default=True,
              help="Of each virtual agent's own link.")  # fmt: skip
@click.option("--deadline-ms", type=click.FloatRange(min=1), default=300.0, show_default=True)
@click.option("--max-drop", type=click.FloatRange(0, 100), default=5.0, show_default=True,
              help="Points of accuracy that a choice may lose.")  # fmt: skip
@click.option("--device-profile", "device", default="raspberry-pi-3b+", show_default=True,
              help="The device to emulate; none is this machine as it is.")  # fmt: skip
@with_inputs
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all chance in virtual time.")
@with_results(OUT, DOCUMENT, holds="the picture, tables and logs")
def crowd(
    *,
    agents: int,
    real_agents: int,
    tables_file: Path | None,
    servers: int,
    fps: float,
    real_fps: float,
    background: str,
    real_background: str,
    arrivals: "Arrivals",
    mbps: float | None,
    link_mbps: float,
    deadline_ms: float,
    max_drop: float,
    device: str,
    bundle: Path | None,
    clip: Path | None,
    seed: int,
    out: Path,
    json_file: Path | None,
    write_docs: bool,
    document: Path,
) -> None:
    """See whether a crowd settles when others' load changes, with our damping and without it."""
    from cluster.cli.crowd_play import Playing
    from cluster.cli.crowd_tables import blocks, screened
    from cluster.comparison.document import fill
    from cluster.evaluation.plot import require_matplotlib
    from loadtests.adapt_scenario import AdaptScenario
    from loadtests.clips import clip_path
    from loadtests.crowd_outcome import parse_steps
    from loadtests.crowd_picture import draw_crowd
    from loadtests.crowd_simulation import Crowd
    from loadtests.frame_tables import FrameTables
    from loadtests.link_script import LinkScript
    from loadtests.virtual_device import VirtualDevice
    from wire.bundle import Bundle

    if write_docs and not real_agents:
        raise SettingError(f"{document} tells of a real run", mend="leave out --real-agents 0")
    require_matplotlib()
    tables = FrameTables.load(tables_file) if tables_file else None
    steps, real_steps = parse_steps(background), parse_steps(real_background)
    out.mkdir(parents=True, exist_ok=True)
    folder = find_bundle(bundle)
    scenario = AdaptScenario(
        bundle=Bundle.open(folder, "device"),
        clip=clip or clip_path("bikes"),
        cache=out / "cache",
        device=None if device == "none" else device,
        fps=real_fps,
        deadline_s=deadline_ms / 1e3,
        delay_s=DELAY_S,
        most_drop=max_drop / 100,
    )
    many = Crowd(
        agents=agents, servers=servers, steps=steps, arrivals=arrivals, seed=seed,
        script=LinkScript.parse(f"0:{link_mbps:g}", delay_s=DELAY_S),
        device=VirtualDevice(rules=scenario.rules("auto"), fps=fps, frames=0),
    )  # fmt: skip
    few = None
    if real_agents:
        few = replace(many, agents=real_agents, servers=1, steps=real_steps, device=replace(many.device, fps=real_fps))
    with Playing(scenario, folder, out) as playing:
        outcome = playing.play(tables, many, few, mbps=mbps)
    if json_file:
        write_json(outcome.as_plain(), json_file)
    for table in screened(outcome):
        output().print(table.rich())
    output().print(f"picture: {draw_crowd(outcome, out / PICTURE)}", soft_wrap=True)
    if write_docs:
        draw_crowd(outcome, document.parent / "img" / PICTURE)
        fill(document, blocks(outcome))
        output().print(f"wrote {document}", soft_wrap=True)
