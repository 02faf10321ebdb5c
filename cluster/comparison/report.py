"""The tables of the comparison, for the screen and for docs/codecs.md.

Owns their columns and words. Computes nothing but what a cell shows.
"""

from collections.abc import Sequence

from cluster.comparison.cells import NONE, fraction, goal, names, points, said
from cluster.comparison.claims import awareness, deepcod_entries, jalad_entries, png_entries, savings
from cluster.comparison.comparison import Comparison
from cluster.comparison.rows import Row
from cluster.comparison.text_table import TextTable
from cluster.comparison.wanted import SHARE_MARGIN, Duel, Verdict, duels_with_codecs, duels_with_pictures, verdicts


def tables(comparison: Comparison) -> dict[str, TextTable]:
    """Give every table by its name."""
    rows = comparison.rows
    return {
        "wanted": wanted_table(verdicts(rows)),
        "codecs": duel_table(
            "our bytes for each of a rival codec's, at its accuracy or better", duels_with_codecs(rows)
        ),
        "pictures": duel_table(
            "our bytes for each of a picture's, at its accuracy or better", duels_with_pictures(rows)
        ),
        "bottlenet": bottlenet_table(rows),
        "awareness": awareness_table(rows),
        "deepcod": deepcod_table(rows),
        "jalad": jalad_table(rows),
        "jointdnn": jointdnn_table(comparison),
        "options": options_table(rows),
    }


def wanted_table(found: Sequence[Verdict]) -> TextTable:
    """Give a line for everything wanted."""
    more = f"fewest bytes with {SHARE_MARGIN:.0%} more work"
    headings = ("wanted", "met", "fewest bytes at that loss", "least loss with those bytes", more)
    rows = tuple(
        (goal(each.wanted), "yes" if each.met else "no", *map(said, (each.fewest_bytes, each.least_drop, each.deeper)))
        for each in found
    )
    return TextTable("what is wanted of ours", headings, rows, texts=5)


def duel_table(title: str, duels: Sequence[Duel]) -> TextTable:
    """Give a line for every rival."""
    headings = ("point", "codec", "rate", "ours", "work", "drop", "bytes", "ours drop", "ours bytes", "ours / its")
    rows = tuple(
        (
            *names(duel.rival), f"{duel.ours.figures.point} {duel.ours.figures.rate}" if duel.ours else NONE,
            f"{duel.rival.figures.device_share:.0%}", points(duel.rival.drop), f"{duel.rival.bytes:,.0f}",
            points(duel.ours.drop) if duel.ours else NONE, f"{duel.ours.bytes:,.0f}" if duel.ours else NONE,
            NONE if duel.ratio is None else f"{duel.ratio:.3f}",
        )
        for duel in duels
    )  # fmt: skip
    return TextTable(title, headings, rows, texts=4)


def bottlenet_table(rows: Sequence[Row]) -> TextTable:
    """Give BottleNet's bit savings, and ours."""
    found = savings(rows)
    jpeg = f" ({found[0].jpeg.figures.rate}, {found[0].jpeg.bytes:,.0f} B)" if found else ""
    headings = ("point", "codec", "rate", "work", "drop", "bytes", "fewer than JPEG")
    return TextTable(
        f"bit savings over the smallest JPEG that loses at most 2 points{jpeg}",
        headings,
        tuple(
            (
                *names(each.row), f"{each.row.figures.device_share:.0%}",
                points(each.row.drop) + ("" if each.within else " (over 2)"), f"{each.row.bytes:,.0f}",
                f"{each.times:.1f}×",
            )
            for each in found
        ),
        texts=3,
    )  # fmt: skip


def awareness_table(rows: Sequence[Row]) -> TextTable:
    """Give what BottleNet gains by training through JPEG."""
    headings = ("point", "JPEG quality", "naive bytes", "naive drop", "aware bytes", "aware drop", "gain")
    return TextTable(
        "BottleNet trained through JPEG (aware) and without (naive), both sent as JPEG",
        headings,
        tuple(
            (
                each.aware.figures.point, str(each.quality), f"{each.naive.bytes:,.0f}", points(each.naive.drop),
                f"{each.aware.bytes:,.0f}", points(each.aware.drop), points(each.gain),
            )
            for each in awareness(rows)
        ),
    )  # fmt: skip


def deepcod_table(rows: Sequence[Row]) -> TextTable:
    """Give DeepCOD's table 1, and ours below it."""
    headings = ("codec", "point", "rate", "KB", "top-1 drop", "top-5 drop", "pictures")
    return TextTable(
        "DeepCOD's table 1",
        headings,
        tuple(
            (each.name, "not trained here", *(NONE,) * 5)
            if each.row is None
            else (
                each.name, each.row.figures.point, each.row.figures.rate, f"{each.row.bytes / 1000:.2f}",
                points(each.row.drop), points(each.row.figures.top5_drop), str(each.row.pictures),
            )
            for each in deepcod_entries(rows)
        ),
        texts=3,
    )  # fmt: skip


def jalad_table(rows: Sequence[Row]) -> TextTable:
    """Give JALAD's tables A(c) and S(c)."""
    headings = ("point", "c", "S(c), bytes", "of float32", "of the pixels", "of PNG", "A(c)", "drop")
    return TextTable(
        "JALAD's A(c) and S(c)",
        headings,
        tuple(
            (
                each.row.figures.point, str(each.bits), f"{each.row.bytes:,.0f}", fraction(each.of_features),
                fraction(each.of_frame), fraction(each.of_png), f"{each.row.figures.top1:.1%}",
                points(each.row.drop),
            )
            for each in jalad_entries(rows)
        ),
    )  # fmt: skip


def jointdnn_table(comparison: Comparison) -> TextTable:
    """Give JointDNN's PNG ratio and zero rate."""
    headings = ("point", "behind a ReLU", "8-bit bytes", "PNG bytes", "ratio", "zeros in features", "zero symbols",
                "drop", "pictures")  # fmt: skip
    return TextTable(
        "JointDNN's PNG and zeros",
        headings,
        tuple(
            (
                each.row.figures.point, ("yes" if each.zeros.activated else "no") if each.zeros else NONE,
                f"{each.symbol_bytes:,}", f"{each.row.bytes:,.0f}", f"{each.ratio:.2f}",
                f"{each.zeros.features:.1%}" if each.zeros else NONE,
                f"{each.zeros.symbols:.1%}" if each.zeros else NONE, points(each.row.drop),
                str(each.row.pictures),
            )
            for each in png_entries(comparison.rows, comparison.zeros)
        ),
        texts=2,
    )  # fmt: skip


def options_table(rows: Sequence[Row]) -> TextTable:
    """Give a line for every option."""
    headings = ("point", "codec", "rate", "bytes", "p95", "work", "top-1", "drop", "top-5", "drop", "agrees",
                "pictures")  # fmt: skip
    return TextTable(
        "every option",
        headings,
        tuple(
            (
                *names(row), f"{row.bytes:,.0f}", f"{row.figures.bytes_p95:,.0f}", f"{row.figures.device_share:.1%}",
                f"{row.figures.top1:.1%}", points(row.drop), f"{row.figures.top5:.1%}",
                points(row.figures.top5_drop), f"{row.figures.agreement:.1%}", str(row.pictures),
            )
            for row in rows
        ),
        texts=3,
    )  # fmt: skip
