"""The tables and sentences of ``isthmus bench adapt``, for the screen and for docs/adapting.md. Owns their words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from cluster.comparison.text_table import TextTable
from cluster.planning.bottlenet_report import PAPER_GAINS
from loadtests.adapt_bottlenet import DEVICE, MOST_DROP, OURS_FOR_ENERGY
from loadtests.adapt_drop import WITHIN_FRAMES
from loadtests.adapt_report import CLUSTER_ONLY, DEVICE_ONLY, OURS, AdaptReport, Figures, report
from loadtests.adapt_virtual import local_row

if TYPE_CHECKING:
    from loadtests.adapt_outcome import AdaptOutcome, Played
    from loadtests.adapt_wanted import Verdict

NONE: Final = "–"
SHOWN_SHORT: Final = 3
"""So many traces on which a line falls short are named; the JSON has them all."""


def screened(outcome: "AdaptOutcome") -> list[TextTable]:
    """Give the tables for the screen, in their order."""
    found = [options_table(outcome), traces_table(report(outcome.main.runs)), missed_table(outcome.main)]
    found += [policies_table(_title(outcome), report(outcome.main.runs))]
    found += [policies_table("windows in virtual time, all answering alone when it is late", _fallen_back(outcome))]
    found += [policies_table("whole traces, in virtual time", report(outcome.full.runs))]
    found += [agreement_table(outcome)] if outcome.real is not None else []
    return [*found, falls_table(outcome), bottlenet_table(outcome), wanted_table(outcome)]


def blocks(outcome: "AdaptOutcome") -> dict[str, str]:
    """Give what a document can have of the comparison, as Markdown."""
    main = report(outcome.main.runs)
    return {
        "summary": summary(outcome),
        "wanted": wanted_table(outcome).markdown(),
        "policies": policies_table("", main).markdown(),
        "traces": traces_table(main).markdown(),
        "missed": missed_table(outcome.main).markdown(),
        "fallen-back": policies_table("", _fallen_back(outcome)).markdown(),
        "full": policies_table("", report(outcome.full.runs)).markdown(),
        "agreement": agreement_table(outcome).markdown(),
        "falls": falls_table(outcome).markdown(),
        "bottlenet": bottlenet_table(outcome).markdown(),
        "why": why(outcome),
        "options": options_table(outcome).markdown(),
    }


def summary(outcome: "AdaptOutcome") -> str:
    """Say what was played, and on what."""
    scenario, loads, main = outcome.scenario, outcome.loads, outcome.main
    whole_ms = outcome.tables.device_s[local_row(outcome.tables)] * 1e3
    window = f"the first {main.window_s:g} s of each" if main.window_s else "all of each"
    alone = ", so that it can never meet the deadline alone" if whole_ms > scenario.deadline_s * 1e3 else ""
    how = f"really, {scenario.at_once} agents at once" if outcome.real is not None else "in virtual time alone"
    return (
        f"{scenario.bundle.manifest.backbone}, the clip {scenario.clip.name} at {scenario.fps:g} frames a second, a "
        f"deadline of {scenario.deadline_s * 1e3:g} ms, and at most {scenario.most_drop * 100:g} points of top-1 "
        f"lost. The device is {outcome.tables.device}; the whole network takes {whole_ms:.0f} ms on it{alone}. "
        f"{len(main.runs)} recorded links, {window}, with {scenario.delay_s * 1e3:g} ms of delay each way; played "
        f"{how}, on a machine of {loads.cores} cores that was also the cluster and the links; its load average was "
        f"{loads.before:.1f} before and {loads.after:.1f} at the end."
    )


def policies_table(title: str, of: AdaptReport) -> TextTable:
    """Give a line for every policy, over all traces."""
    headings = (
        "policy", "mean ms", "p50", "p95", "p99", "missed", "missed %", "bytes", "mJ", "switches", "by cluster",
        "unanswered", "frames",
    )  # fmt: skip
    return TextTable(title, headings, tuple((policy, *_cells(each)) for policy, each in of.overall.items()))


def traces_table(of: AdaptReport) -> TextTable:
    """Give a line for every trace, with each policy's mean and 95th percentile."""
    policies = list(of.overall)
    rows = tuple(
        (trace, *(f"{by_policy[policy].mean_ms:.0f}/{by_policy[policy].p95_ms:.0f}" for policy in policies))
        for trace, by_policy in of.by_trace.items()
    )
    return TextTable("by trace: mean and p95, ms", ("trace", *policies), rows)


def missed_table(played: "Played") -> TextTable:
    """Give a line for every trace, with the option that was best to keep, and the deadlines each policy missed."""
    of = report(played.runs)
    policies = list(of.overall)
    rows = tuple(
        (trace, played.fixed[trace], *(str(by_policy[policy].missed) for policy in policies))
        for trace, by_policy in of.by_trace.items()
    )
    return TextTable("by trace: deadlines missed", ("trace", "best fixed option", *policies), rows, texts=2)


def wanted_table(outcome: "AdaptOutcome") -> TextTable:
    """Give a line for everything wanted, of the windows and of the whole traces in virtual time."""
    windows, whole = outcome.verdicts(outcome.main), outcome.verdicts(outcome.full)
    rows = tuple(
        (
            one.wanted, f"{one.limit:g}", _value(one.value), _met(one), _value(one.oracle), _value(other.value),
            _met(other), _value(other.oracle), _short(one),
        )
        for one, other in zip(windows, whole, strict=True)
    )  # fmt: skip
    played = "really" if outcome.real is not None else "windows"
    headings = ("wanted", "at most", played, "met", "oracle", "whole traces", "met", "oracle", f"where not, {played}")
    return TextTable("what is wanted of ours", headings, rows, texts=1)


def agreement_table(outcome: "AdaptOutcome") -> TextTable:
    """Give a line for every policy: what virtual time says over what was measured."""
    headings = (
        "policy",
        "mean",
        "p50",
        "p95",
        "missed really",
        "missed virtually",
        "same point",
        "same option",
        "frames",
    )
    rows = tuple(
        (
            each.policy, f"{each.mean_ratio:.2f}", f"{each.median_ratio:.2f}", f"{each.p95_ratio:.2f}",
            str(each.missed_real), str(each.missed_virtual), f"{each.same_point_share:.0%}",
            f"{each.same_option_share:.0%}", str(each.frames),
        )
        for each in outcome.agreement()
    )  # fmt: skip
    return TextTable("virtual time over the real run", headings, rows)


def falls_table(outcome: "AdaptOutcome") -> TextTable:
    """Give a line for every policy and fall of the link."""
    headings = (
        "policy", "clip", "Mbit/s", f"within {WITHIN_FRAMES} frames", "mean frames", "most frames", "falls",
        "best after it",
    )  # fmt: skip
    rows = tuple(
        (
            OURS if each.policy == "auto" else each.policy, "still" if each.still else "moves",
            f"{each.from_mbps:g} → {each.to_mbps:g}",
            f"{each.within_share:.0%}", f"{sum(each.frames) / len(each.frames):.1f}", str(max(each.frames)),
            str(len(each.frames)), _named(each.best),
        )
        for each in outcome.falls
    )  # fmt: skip
    return TextTable("back on the best option after a tenfold fall, in virtual time", headings, rows, texts=3)


def bottlenet_table(outcome: "AdaptOutcome") -> TextTable:
    """Give BottleNet's gains over sending the frame, and ours."""
    headings = ("radio", "Mbit/s", "of", "the paper's", "ours", "ours at", "ours", "sending the frame", "device alone")
    rows = []
    for gain in outcome.gains:
        paper = PAPER_GAINS[gain.radio]
        radio = (gain.radio, f"{gain.mbps:g}")
        sent, alone = gain.figures[CLUSTER_ONLY], gain.figures[DEVICE_ONLY]
        latencies = (each.mean_ms for each in (gain.figures[OURS], sent, alone))
        energies = (each.energy_mj for each in (gain.figures[OURS_FOR_ENERGY], sent, alone))
        rows += [
            (
                *radio, "latency", f"{paper['latency']}×", f"{gain.latency_gain:.1f}×", _shares(gain.points[OURS]),
                *(f"{each:.1f} ms" for each in latencies),
            ),
            (
                *radio, "energy", f"{paper['energy']}×", f"{gain.energy_gain:.1f}×",
                _shares(gain.points[OURS_FOR_ENERGY]), *(f"{each:.1f} mJ" for each in energies),
            ),
        ]  # fmt: skip
    title = f"BottleNet's table 5, on a {DEVICE}, at most two points lost: gains over sending the frame"
    return TextTable(title, headings, tuple(rows))


def options_table(outcome: "AdaptOutcome") -> TextTable:
    """Give a line for every option, as it was measured on the frames of the clip."""
    tables = outcome.tables
    rows = tuple(
        (
            f"{option.point}/{option.rate}", f"{tables.device_s[row] * 1e3:.1f}", f"{tables.refine_s[row] * 1e3:.1f}",
            f"{tables.cluster_s[row] * 1e3:.1f}", f"{tables.looks[row].mean():.2f}",
            f"{tables.sent_bytes[row].sum(axis=1).mean():,.0f}", f"{option.measured.top1_drop * 100:.1f}",
        )
        for row, option in enumerate(tables.options)
    )  # fmt: skip
    headings = ("option", "device ms", "further look ms", "cluster ms", "looks", "bytes", "drop")
    beside = f"{tables.own_s * 1e3:.1f} ms a frame and {tables.overhead_s * 1e3:.1f} an exchange"
    title = f"measured on {tables.device}; beside it {beside}"
    return TextTable(title, headings, rows)


def why(outcome: "AdaptOutcome") -> str:
    """Say why our gains are not the paper's, with the figures that say so."""
    tables = outcome.tables
    sent = ", ".join(f"{gain.figures[CLUSTER_ONLY].mean_ms:.0f} ms over {gain.radio}" for gain in outcome.gains)
    frame = next(row for row, option in enumerate(tables.options) if option.point == "input")
    floor_s = float(tables.cluster_s[frame]) + tables.own_s + tables.overhead_s + 2 * outcome.scenario.delay_s
    alone = outcome.gains[0].figures[DEVICE_ONLY]
    frame_bytes = tables.sent_bytes[frame].sum(axis=1).mean()
    drop = tables.options[frame].measured.top1_drop
    barred = f", and it loses {drop * 100:.1f} points, so ours may not choose it" if drop > MOST_DROP else ""
    return (
        "The paper cuts ResNet-50, a network of ten times the work, so that nearly all of a frame's time is the link's "
        f"and sending less is all that counts. Here the frame is a JPEG of {frame_bytes:,.0f} bytes; sending it takes "
        f"{sent}, of which {floor_s * 1e3:.0f} ms are the cluster (which has no GPU), the round trip and the sockets, "
        f"whatever is sent{barred}. The device takes {alone.mean_ms:.1f} ms and {alone.energy_mj:.0f} mJ for all of "
        f"{outcome.scenario.bundle.manifest.backbone}: so what can be gained is bounded by what sending the frame "
        "costs beside that, and where a fast link makes sending cheaper than computing, no cut gains anything. The "
        "device's power is the nominal one of its power mode, and its times are published or predicted ones of whole "
        "networks, of which a head takes the share that it has on this machine."
    )


def _fallen_back(outcome: "AdaptOutcome") -> AdaptReport:
    return report(outcome.fallen_back.runs)


def _title(outcome: "AdaptOutcome") -> str:
    return "real run" if outcome.real is not None else "windows in virtual time"


def _cells(each: Figures) -> tuple[str, ...]:
    return (
        f"{each.mean_ms:.1f}", f"{each.p50_ms:.1f}", f"{each.p95_ms:.1f}", f"{each.p99_ms:.1f}", str(each.missed),
        f"{each.missed_share:.1%}", f"{each.bytes:,.0f}", f"{each.energy_mj:.0f}", str(each.switches),
        f"{each.on_cluster_share:.0%}", str(each.unanswered), str(each.frames),
    )  # fmt: skip


def _value(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(name if share == 1 else f"{name} {share:.0%}" for name, share in shares.items())


def _met(verdict: "Verdict") -> str:
    if verdict.met:
        return "yes"
    # By how much a count is over says nothing that the count does not.
    return f"no, by {verdict.over:.0%}" if isinstance(verdict.limit, float) else "no"


def _short(verdict: "Verdict") -> str:
    if not verdict.short:
        return NONE
    said = [f"{each.trace} {each.said}".strip() for each in verdict.short[:SHOWN_SHORT]]
    more = len(verdict.short) - SHOWN_SHORT
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


def _named(options: Sequence[str]) -> str:
    return ", ".join(options[:3]) + (f" and {len(options) - 3} more" if len(options) > 3 else "")
