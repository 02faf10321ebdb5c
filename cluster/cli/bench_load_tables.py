"""The tables of ``isthmus bench load``, for the screen and for docs/load.md. Owns their form; measures nothing."""

from typing import Final

from cluster.comparison.text_table import TextTable
from loadtests.light_frame import LoadFigures
from loadtests.load_background import LINK_MBPS
from loadtests.load_capacity import HELD
from loadtests.load_outcome import LoadOutcome
from loadtests.load_overload import TIMES
from loadtests.load_scene import EntrantName, LoadRun

NEVER: Final = "never"
NOTHING: Final = "–"
SHOWN_OPTIONS: Final = 3


def screened(outcome: LoadOutcome) -> list[TextTable]:
    """Give the tables for the screen, in their order; what was not played has none."""
    tables = (
        capacity_table(outcome), ladder_table(outcome), overload_table(outcome), spike_table(outcome),
        background_table(outcome), saving_table(outcome), wanted_table(outcome),
    )  # fmt: skip
    return [table for table in tables if table.rows]


def blocks(outcome: LoadOutcome) -> dict[str, str]:
    """Give what a document can have of the runs, as Markdown."""
    return {
        "summary": summary(outcome),
        "wanted": wanted_table(outcome).markdown(),
        "capacity": capacity_table(outcome).markdown(),
        "ladder": ladder_table(outcome).markdown(),
        "overload": overload_table(outcome).markdown(),
        "spike": spike_table(outcome).markdown(),
        "background": background_table(outcome).markdown(),
        "saving": saving_table(outcome).markdown(),
    }


def summary(outcome: LoadOutcome) -> str:
    """Say what was played, and on what."""
    scene, machine = outcome.scene, outcome.machine
    most = max((run.generator_cpu for run in _all_runs(outcome)), default=0.0)
    lag = max((run.generator_lag_p95_s for run in _all_runs(outcome)), default=0.0)
    loads = f" Its load average was {machine.before:.1f} before and {machine.after:.1f} at the end." if machine else ""
    cores = f"This machine has {machine.cores} cores, for cluster and generator together." if machine else ""
    return (
        f"Every agent plays at {scene.fps:g} frames a second with a deadline of {scene.deadline_s * 1e3:.0f} ms; the "
        f"devices are {outcome.device}, the fixed cut is {outcome.cut}. {cores}{loads} The generator took at most "
        f"{most:.2f} of a core, and was late by at most {lag * 1e3:.0f} ms (95th percentile of the worst load)."
    )


def wanted_table(outcome: LoadOutcome) -> TextTable:
    """Give a line for everything that was wanted."""
    rows = tuple((each.what, each.came_to, "yes" if each.met else "short") for each in outcome.wanted())
    return TextTable("wanted", ("wanted", "came to", "met"), rows, texts=3)


def capacity_table(outcome: LoadOutcome) -> TextTable:
    """Give a line for each entrant: what it holds, and how it stood then."""
    rows = []
    for capacity in outcome.capacities:
        best = capacity.best
        held = f"{'≥ ' if capacity.found.at_least else ''}{capacity.found.held}"
        whose = "the cluster" if capacity.criterion == "cluster" else "anyone"
        rows.append((capacity.entrant.title, whose, held, *_cells(best)))
    headings = ("entrant", "who may answer", "agents held", *_HEADINGS)
    title = f"agents held: {HELD:.0%} of frames in time"
    return TextTable(title, headings, tuple(rows), texts=2)


def ladder_table(outcome: LoadOutcome) -> TextTable:
    """Give what each step from the tutorial to ours adds."""
    steps: tuple[tuple[EntrantName, EntrantName, str], ...] = (
        ("tutorial", "jpeg", "the path: WebSocket through HAProxy, batches, Triton; the same JPEG"),
        ("jpeg", "cut", "the device's share and fewer bytes: a fixed cut in place of the JPEG"),
        ("cut", "ours", "choosing for each frame, and the device's own answers"),
        ("tutorial", "cut", "path and cut together"),
        ("tutorial", "ours", "all together"),
        ("jpeg", "ours", "cut and choice together"),
    )
    rows = []
    for lower, upper, why in steps:
        gain, ours = outcome.gain(upper, lower), outcome.capacity_of(upper)
        if gain is not None and ours is not None:
            more = "≥ " if ours.found.at_least else ""
            rows.append((why, f"{lower} → {upper}", f"{more}{gain:.1f} ×"))
    return TextTable("where the gain comes from", ("step", "from → to", "agents"), tuple(rows), texts=2)


def overload_table(outcome: LoadOutcome) -> TextTable:
    """Give a line for each entrant at twice its capacity."""
    rows = tuple(
        (
            each.capacity.entrant.title, str(each.run.agents), f"{each.run.figures.due_a_second:.0f}",
            f"{each.run.figures.goodput:.0f}", f"{each.goodput_share:.0%}", _ms(each.run.figures.cluster_p95_s),
            _ms(each.run.figures.p95_s), str(each.run.figures.refused), str(each.run.figures.by_device),
            str(each.run.figures.skipped), str(each.run.figures.unanswered), "yes" if each.is_kept else "short",
        )
        for each in outcome.overloads
    )  # fmt: skip
    headings = (
        "entrant", "agents", "due/s", "in time/s", "of capacity", "accepted p95 ms", "p95 ms", "refused", "by device",
        "skipped", "unanswered", "kept",
    )  # fmt: skip
    return TextTable(f"{TIMES} × the agents held", headings, rows)


def spike_table(outcome: LoadOutcome) -> TextTable:
    """Give a line for each entrant in a spike."""
    rows = tuple(
        (
            spike.entrant.title, NEVER if spike.recovers_s is None else f"{spike.recovers_s:.0f}",
            _ms(spike.worst_p95_s), str(spike.missed), str(spike.run.figures.unanswered),
            f"{spike.run.figures.by_cluster / max(1, spike.run.figures.due):.0%}", _replicas(spike.run),
            str(spike.turns),
        )
        for spike in outcome.spikes
    )  # fmt: skip
    headings = (
        "entrant", "back within the deadline after s", "worst p95 ms", "frames missed", "unanswered", "by cluster",
        "most replicas", "turns of replicas",
    )  # fmt: skip
    return TextTable("a spike", headings, rows)


def background_table(outcome: LoadOutcome) -> TextTable:
    """Give a line for each entrant: its median and 95th percentile at every level, and the slopes."""
    levels = list(outcome.background[0].runs) if outcome.background else []
    rows = []
    for each in outcome.background:
        cells = [f"{_ms(run.figures.p50_s)} / {_ms(run.figures.p95_s)}" for run in each.runs.values()]
        slopes = (each.slope_ms_per_mbps, each.slope_p95_ms_per_mbps)
        rows.append((each.entrant.title, *cells, *(NOTHING if of is None else f"{of:.2f}" for of in slopes)))
    headings = ("entrant", *(f"{mbps:g} Mbit/s" for mbps in levels), "slope p50", "slope p95")
    title = f"p50 / p95 ms by background on a link of {LINK_MBPS:g} Mbit/s; slopes in ms per Mbit/s"
    return TextTable(title, headings, tuple(rows))


def saving_table(outcome: LoadOutcome) -> TextTable:
    """Give a line for each entrant beside the JPEG, with as many agents."""
    if not outcome.savings:
        return TextTable("saved", (), ())
    beside = outcome.savings[0].beside
    rows = [("(a) cluster only, JPEG on our path", *_spent(beside), NOTHING, NOTHING, NOTHING)]
    rows += [
        (
            each.entrant.title, *_spent(each.run), f"{each.bytes_saved:.0%}", f"{each.busy_saved:.0%}",
            f"{each.cpu_saved:.0%}",
        )
        for each in outcome.savings
    ]  # fmt: skip
    headings = (
        "entrant", "bytes a frame", "busy ms a frame", "CPU ms a frame", "bytes saved", "busy saved", "CPU saved",
    )  # fmt: skip
    return TextTable(f"the same {beside.agents} agents", headings, tuple(rows))


_HEADINGS: Final = (
    "p50 ms", "p95 ms", "by cluster", "bytes a frame", "cluster cores", "CPU ms a frame", "generator cores",
    "its lag ms", "tried first",
)  # fmt: skip


def _cells(run: LoadRun | None) -> tuple[str, ...]:
    if run is None:
        return (NOTHING,) * len(_HEADINGS)
    figures = run.figures
    return (
        _ms(figures.p50_s), _ms(figures.p95_s), f"{figures.by_cluster / max(1, figures.due):.0%}",
        f"{figures.moved_bytes_a_frame:,.0f}", f"{run.cluster_cpu:.2f}", f"{run.cluster_cpu_s_a_frame * 1e3:.1f}",
        f"{run.generator_cpu:.2f}", _ms(run.generator_lag_p95_s), _options(figures),
    )  # fmt: skip


def _options(figures: LoadFigures) -> str:
    shown = list(figures.by_option.items())[:SHOWN_OPTIONS]
    return ", ".join(f"{name} {count / max(1, figures.due):.0%}" for name, count in shown)


def _spent(run: LoadRun) -> tuple[str, str, str]:
    figures = run.figures
    due = max(1, figures.due)
    cpu_ms = run.cluster_cpu * figures.seconds / due * 1e3
    return f"{figures.moved_bytes_a_frame:,.0f}", f"{figures.busy_s / due * 1e3:.1f}", f"{cpu_ms:.1f}"


def _replicas(run: LoadRun) -> str:
    most = {point: count for _, of in run.replicas for point, count in of.items()}
    for _, of in run.replicas:
        most = {point: max(count, of.get(point, 0)) for point, count in most.items()}
    return ", ".join(f"{point} {count}" for point, count in most.items()) or NOTHING


def _all_runs(outcome: LoadOutcome) -> list[LoadRun]:
    runs = [probe.run for capacity in outcome.capacities for probe in capacity.probes]
    runs += [overload.run for overload in outcome.overloads]
    runs += [spike.run for spike in outcome.spikes]
    runs += [saving.run for saving in outcome.savings]
    return runs + [run for each in outcome.background for run in each.runs.values()]


def _ms(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds * 1e3:.0f}"
