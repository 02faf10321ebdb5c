"""What the comparison comes to in sentences, and all of it as the blocks of docs/codecs.md.

Owns the words for what falls short.
"""

from collections.abc import Iterable

from cluster.comparison.cells import change, goal, said
from cluster.comparison.comparison import Comparison
from cluster.comparison.report import tables
from cluster.comparison.wanted import (
    JPEG_SHARE,
    SHARE_MARGIN,
    Duel,
    Verdict,
    duels_with_codecs,
    duels_with_pictures,
    verdicts,
)


def blocks(comparison: Comparison) -> dict[str, str]:
    """Give what a document can have of the comparison, as Markdown: the tables, what falls short, and a summary."""
    short = shortfalls(comparison)
    return {
        "summary": summary(comparison),
        "shortfalls": "\n".join(f"- {each}" for each in short) or "Nothing of what is wanted.",
        **{name: table.markdown() for name, table in tables(comparison).items()},
    }


def summary(comparison: Comparison) -> str:
    """Say what was measured, and on what."""
    limited = sorted({row.pictures for row in comparison.rows} - {comparison.pictures})
    few = f", where a row says so on {' or '.join(map(str, limited))}" if limited else ""
    text = (
        f"{comparison.backbone}, {comparison.pictures} pictures of {comparison.dataset}{few}; unsplit: "
        f"{comparison.baseline_top1:.1%} top-1, {comparison.baseline_top5:.1%} top-5. Drops are in points; one "
        f"picture is {100 / comparison.pictures:.2g} points. Bytes are means of whole bitstreams, headers "
        "included; work is the device's share of the backbone's multiply-accumulates, the encoder's included."
    )
    if comparison.missing:
        text += f" Not trained, and so not compared: {', '.join(map(str, comparison.missing))}."
    return text


def shortfalls(comparison: Comparison) -> list[str]:
    """Name everything that is wanted and not so."""
    found = [
        f"{goal(verdict.wanted)} is not met: {_nearest(verdict)}."
        for verdict in verdicts(comparison.rows)
        if not verdict.met
    ]
    codecs = duels_with_codecs(comparison.rows)
    papers = [duel for duel in codecs if duel.rival.side == "paper"]
    found.extend(
        f"{duel.rival.name} ({duel.rival.bytes:,.0f} B, {change(duel.rival.drop)}) needs fewer bytes than ours "
        f"({duel.ours.name}, {duel.ours.bytes:,.0f} B)."
        for duel in papers
        if duel.ours and duel.ours.bytes >= duel.rival.bytes
    )
    found.extend(_unreached("these codecs", papers))
    pictures = [duel for duel in duels_with_pictures(comparison.rows) if duel.rival.figures.codec == "jpeg"]
    found.extend(
        f"JPEG {duel.rival.figures.rate}: ours ({duel.ours.name}) needs {duel.ratio:.0%} of its bytes, and not a tenth."
        for duel in pictures
        if duel.ours and duel.ratio and duel.ratio > JPEG_SHARE
    )
    found.extend(_unreached("JPEG", pictures))
    return found


def _nearest(verdict: Verdict) -> str:
    if verdict.fewest_bytes is None and verdict.least_drop is None:
        return f"no option with so little work does either; with {SHARE_MARGIN:.0%} more, {said(verdict.deeper)}"
    return (
        f"with those bytes the best is {said(verdict.least_drop)}; at that loss the smallest is "
        f"{said(verdict.fewest_bytes)}"
    )


def _unreached(what: str, duels: Iterable[Duel]) -> list[str]:
    names = [
        f"{duel.rival.name} ({change(duel.rival.drop)}, {duel.rival.figures.device_share:.0%})"
        for duel in duels
        if duel.ours is None
    ]
    return [f"No option of ours loses as little, with about its work, as {what}: {', '.join(names)}."] if names else []
