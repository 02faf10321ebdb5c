"""The comparison as plain values, for a JSON file. Owns its keys; shares, drops and gains are shares of 1."""

from typing import Any

from cluster.comparison.claims import awareness, deepcod_entries, jalad_entries, png_entries, savings
from cluster.comparison.comparison import Comparison
from cluster.comparison.rows import Row
from cluster.comparison.wanted import Duel, Verdict, duels_with_codecs, duels_with_pictures, verdicts


def plain(comparison: Comparison) -> dict[str, Any]:
    """Give everything that was measured, and what came of it; options are named by point, codec and rate."""
    rows = comparison.rows
    return {
        "backbone": comparison.backbone,
        "dataset": comparison.dataset,
        "pictures": comparison.pictures,
        "baseline_top1": comparison.baseline_top1,
        "baseline_top5": comparison.baseline_top5,
        "missing": [str(key) for key in comparison.missing],
        "options": [row.plain() for row in rows],
        "wanted": [_verdict(each) for each in verdicts(rows)],
        "against_codecs": [_duel(each) for each in duels_with_codecs(rows)],
        "against_pictures": [_duel(each) for each in duels_with_pictures(rows)],
        "claims": _claims(comparison),
    }


def _claims(comparison: Comparison) -> dict[str, Any]:
    rows = comparison.rows
    return {
        "bottlenet_savings": [
            {"option": each.row.name, "within_2_points": each.within, "jpeg": each.jpeg.name, "times": each.times}
            for each in savings(rows)
        ],
        "bottlenet_awareness": [
            {"quality": each.quality, "aware": each.aware.name, "naive": each.naive.name, "gain": each.gain}
            for each in awareness(rows)
        ],
        "deepcod_table": [
            {"name": each.name, "option": _name(each.row), "kilobytes": each.row.bytes / 1000 if each.row else None,
             "top1_drop": each.row.drop if each.row else None,
             "top5_drop": each.row.figures.top5_drop if each.row else None}
            for each in deepcod_entries(rows)
        ],
        "jalad": [
            {"point": each.row.figures.point, "bits": each.bits, "bytes": each.row.bytes,
             "of_features": each.of_features, "of_frame": each.of_frame, "of_png": each.of_png,
             "top1": each.row.figures.top1}
            for each in jalad_entries(rows)
        ],
        "jointdnn": [
            {"point": each.row.figures.point, "symbol_bytes": each.symbol_bytes, "ratio": each.ratio,
             "zero_features": each.zeros.features if each.zeros else None,
             "zero_symbols": each.zeros.symbols if each.zeros else None,
             "activated": each.zeros.activated if each.zeros else None}
            for each in png_entries(rows, comparison.zeros)
        ],
    }  # fmt: skip


def _verdict(verdict: Verdict) -> dict[str, Any]:
    wanted = verdict.wanted
    return {
        "device_share": wanted.device_share,
        "bytes": wanted.bytes,
        "drop": wanted.drop,
        "met": verdict.met,
        "fewest_bytes": _brief(verdict.fewest_bytes),
        "least_drop": _brief(verdict.least_drop),
        "deeper": _brief(verdict.deeper),
    }


def _duel(duel: Duel) -> dict[str, Any]:
    return {"rival": _brief(duel.rival), "ours": _brief(duel.ours), "ratio": duel.ratio}


def _brief(row: Row | None) -> dict[str, Any] | None:
    return (
        {"option": row.name, "bytes": row.bytes, "top1_drop": row.drop, "device_share": row.figures.device_share}
        if row
        else None
    )


def _name(row: Row | None) -> str | None:
    return row.name if row else None
