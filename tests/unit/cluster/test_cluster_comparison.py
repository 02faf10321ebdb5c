import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from PIL import Image

from cluster.codecs.weights import CodecKey
from cluster.comparison.claims import awareness, deepcod_entries, jalad_entries, png_entries, savings
from cluster.comparison.comparison import Comparison
from cluster.comparison.document import block_names, fill, filled
from cluster.comparison.findings import blocks, shortfalls, summary
from cluster.comparison.plot import plot_baselines, plot_papers
from cluster.comparison.record import plain
from cluster.comparison.report import tables
from cluster.comparison.rows import Row, cheapest, side_of
from cluster.comparison.text_table import TextTable
from cluster.comparison.wanted import WANTED, duels_with_codecs, duels_with_pictures, verdicts
from cluster.comparison.zero_rate import ZeroRate
from cluster.evaluation.option_figures import OptionFigures
from wire.errors import SettingError

DOCUMENT = Path(__file__).parents[3] / "docs" / "codecs.md"
MOST_PLOT_BYTES = 150_000
CODERS = {"isthmus": "rans", "none": "none", "offload": "float32", "jointdnn": "png"}


def row(name, sent, drop, share=0.3, *, symbols=(4, 8, 8), pictures=100):
    """A row by its point, codec and rate; ``drop`` is in points below a top-1 of 90 %."""
    point, codec, rate = name.split()
    known = {
        "point": point, "codec": codec, "rate": rate, "coder": CODERS.get(codec, "huffman"), "symbols": symbols,
        "device_macs": 10, "device_share": share, "top1": 0.9 - drop / 100, "top5": 0.98, "top1_drop": drop / 100,
        "top5_drop": drop / 200, "agreement": 0.9, "bytes_mean": float(sent), "bytes_p95": sent * 1.2,
    }  # fmt: skip
    figures = OptionFigures(**{field.name: known.get(field.name, 1.0) for field in fields(OptionFigures)})
    return Row(side_of(figures), pictures, figures)


OURS = [
    row("a isthmus r1", 2400, 1.5, 0.29),
    row("a isthmus r2", 1400, 3.0, 0.29),
    row("b isthmus r1", 900, 1.0, 0.59),
    row("b isthmus r5+r2", 450, 3.5, 0.59),
    row("c isthmus r1", 200, 2.0, 0.84),
]
OTHERS = [
    row("output none whole", 0, 0, 1.0),
    row("a bottlenet c24-s2", 4000, 2.5, 0.31),
    row("a bottlenet c24-s2-jpeg-q75", 3000, 9.0, 0.31),
    row("a bottlenet c24-s2-q75", 3900, 3.0, 0.31),
    row("a bottlenet c24-s2-q75-jpeg-q75", 2900, 4.0, 0.31),
    row("c bottlenet c48-s1", 800, 1.5, 0.85),
    row("a jalad c8", 128, 0.0, 0.29),
    row("a jalad c1", 16, 60.0, 0.29),
    row("a jointdnn 8bit", 192, 0.0, 0.29),
    row("a offload float32", 1036, 0.0, 0.29),
    row("a offload-compressive m25", 90, 5.0, 0.29, pictures=20),
    row("input raw rgb", 3008, 0.0, 0.0, symbols=(3, 10, 100)),
    row("input png lossless", 1500, 0.0, 0.0, symbols=(3, 10, 100)),
    row("input jpeg q90", 30_000, 1.0, 0.0),
    row("input jpeg q50", 8000, 2.0, 0.0),
    row("input jpeg q10", 2500, 9.0, 0.0),
]
ROWS = (*OURS, *OTHERS)
MISSING = CodecKey("toy", "a", "deepcod", "c12-s2-l16")


@pytest.fixture
def comparison():
    zeros = (ZeroRate("a", features=0.25, symbols=0.5, activated=False),)
    return Comparison("toy", "d", 100, 0.9, 0.98, ROWS, zeros, (MISSING,))


def by_name(duels):
    return {f"{duel.rival.figures.codec} {duel.rival.figures.rate}": duel for duel in duels}


def test_a_row_is_ours_a_papers_a_baselines_or_a_picture():
    sides = ["unsplit", *["paper"] * 8, *["baseline"] * 2, *["picture"] * 5]
    assert [each.side for each in OTHERS] == sides
    assert {each.side for each in OURS} == {"ours"}


def test_the_cheapest_loses_no_more_and_does_no_more_on_the_device():
    assert cheapest(OURS, most_drop=0.015) is OURS[2]
    assert cheapest(OURS, most_drop=0.015, most_share=0.3) is OURS[0]
    assert cheapest(OURS, most_drop=0.005) is None


def test_equal_drops_that_differ_in_the_last_digit_are_equal():
    assert cheapest([row("a isthmus r1", 9, 0.1 + 0.2)], most_drop=0.003)


def test_what_is_wanted_is_met_by_one_option_that_keeps_all_three_bounds():
    found = verdicts(ROWS)
    assert [verdict.wanted for verdict in found] == list(WANTED)
    assert [verdict.met for verdict in found] == [True, False, True, False, True]
    missed = found[3]
    assert (missed.fewest_bytes, missed.least_drop) == (OURS[2], OURS[3])


def test_an_option_with_too_much_work_on_the_device_meets_nothing():
    deep = row("a isthmus r1", 100, 0.1, 0.301)
    (first, *_) = verdicts([deep])
    assert (first.met, first.fewest_bytes, first.least_drop, first.deeper) == (False, None, None, deep)


def test_a_rival_codec_meets_ours_at_its_accuracy_with_about_its_work_on_the_device():
    duels = by_name(duels_with_codecs(ROWS))
    assert (duels["bottlenet c24-s2"].ours, duels["bottlenet c24-s2"].ratio) == (OURS[0], 0.6)
    assert duels["bottlenet c24-s2-q75-jpeg-q75"].ours is OURS[1]
    assert duels["bottlenet c48-s1"].ours is OURS[2], "all of its share and below"
    assert (duels["jalad c8"].ours, duels["jalad c8"].ratio) == (None, None)


def test_a_picture_meets_the_best_of_ours_wherever_it_cuts():
    duels = by_name(duels_with_pictures(ROWS))
    assert (duels["jpeg q50"].ours, duels["jpeg q50"].ratio) == (OURS[4], 0.025)
    assert duels["jpeg q90"].ours is OURS[2]
    assert duels["raw rgb"].ours is None


def test_jalads_tables_set_its_bytes_beside_features_pixels_and_png():
    eight, one = jalad_entries(ROWS)
    assert (eight.bits, one.bits) == (8, 1)
    assert (eight.of_features, eight.of_frame, eight.of_png) == pytest.approx((128 / 1024, 128 / 3000, 128 / 1500))
    assert jalad_entries([each for each in ROWS if each.side != "picture"]) == []
    assert jalad_entries([each for each in ROWS if each.figures.codec != "png"])[0].of_png is None


def test_pngs_ratio_is_of_eight_bit_features_and_has_the_zeros_of_its_point(comparison):
    (entry,) = png_entries(ROWS, comparison.zeros)
    assert (entry.symbol_bytes, entry.ratio, entry.zeros) == (256, 0.75, comparison.zeros[0])
    assert png_entries(ROWS, [])[0].zeros is None


def test_savings_are_counted_from_the_smallest_jpeg_that_loses_two_points():
    found = {(saving.row.figures.curve): saving for saving in savings(ROWS)}
    assert {saving.jpeg.name for saving in found.values()} == {"input jpeg q50"}
    assert (found["c bottlenet"].times, found["c bottlenet"].within) == (10.0, True)
    assert (found["a bottlenet"].row.figures.rate, found["a bottlenet"].within) == ("c24-s2", False)
    assert found["c isthmus"].times == 40.0
    assert "a jalad" not in found
    assert savings(OURS) == []


def test_training_through_jpeg_is_compared_at_the_same_quality():
    (pair,) = awareness(ROWS)
    assert (pair.quality, pair.aware.drop, pair.naive.drop) == (75, 0.04, 0.09)
    assert pair.gain == pytest.approx(0.05)
    assert awareness([each for each in ROWS if each.figures.rate != "c24-s2-jpeg-q75"]) == []


def test_deepcods_table_has_its_order_ours_behind_it_and_says_what_is_missing():
    found = [(entry.name, entry.row.figures.rate if entry.row else None) for entry in deepcod_entries(ROWS)]
    assert found == [
        ("Offload", "float32"), ("Offload-Intp", None), ("Offload-CS", "m25"), ("Offload-Lossy", None),
        ("Offload-AE", None), ("DeepCOD", None), ("Isthmus", "r1"), ("Isthmus", "r2"),
    ]  # fmt: skip


def test_what_falls_short_is_named_and_nothing_else(comparison):
    found = shortfalls(comparison)
    assert [text.split(" is not met")[0] for text in found[:2]] == [
        "work ≤ 30%: ≤ 1,300 B at −4.0", "work ≤ 60%: ≤ 500 B at −3.0",
    ]  # fmt: skip
    assert "the best is b r5+r2: 450 B, −3.5, 59.0%; at that loss the smallest is b r1: 900 B, −1.0, 59.0%" in found[1]
    assert found[2].startswith("c bottlenet c48-s1 (800 B, −1.5) needs fewer bytes than ours (b isthmus r1, 900 B)")
    assert found[3].startswith("a jalad c1 (16 B, −60.0) needs fewer bytes than ours (a isthmus r2, 1,400 B)")
    assert found[4] == (
        "No option of ours loses as little, with about its work, as these codecs: a jalad c8 (0.0, 29%), "
        "a jointdnn 8bit (0.0, 29%)."
    )  # fmt: skip
    assert len(found) == 5, "JPEG is beaten by more than ten"
    dear = replace(comparison, rows=(*ROWS, row("input jpeg q20", 1500, 5.0, 0.0)))
    assert shortfalls(dear)[-1] == "JPEG q20: ours (c isthmus r1) needs 13% of its bytes, and not a tenth."


def test_what_fits_no_share_is_said_with_what_a_little_more_work_would_make_possible(comparison):
    deep = row("a isthmus r1", 100, -0.5, 0.324)
    (first, *_) = shortfalls(replace(comparison, rows=(OTHERS[0], deep)))
    assert first == (
        "work ≤ 30%: ≤ 2,500 B at −2.0 is not met: no option with so little work does either; with 3% more, "
        "a r1: 100 B, +0.5, 32.4%."
    )  # fmt: skip


def test_the_summary_says_what_is_missing_and_which_rows_are_of_fewer_pictures(comparison):
    text = summary(comparison)
    assert "100 pictures of d, where a row says so on 20; unsplit: 90.0% top-1" in text
    assert text.endswith("Not trained, and so not compared: a deepcod c12-s2-l16.")
    assert "Not trained" not in summary(replace(comparison, missing=()))


def test_every_table_has_as_many_cells_as_headings_and_is_markdown(comparison):
    for name, table in tables(comparison).items():
        assert table.rows, name
        assert {len(cells) for cells in table.rows} == {len(table.headings)}, name
        assert table.rich().row_count == len(table.rows)
        assert table.markdown().count("\n") == len(table.rows) + 1
    assert TextTable("t", ("a", "b"), (("x|y", "1"),)).markdown() == "| a | b |\n| --- | ---: |\n| x∣y | 1 |"


def test_a_comparison_of_ours_alone_still_has_its_tables():
    alone = Comparison("toy", "d", 100, 0.9, 0.98, (OTHERS[0], *OURS), (), ())
    assert json.loads(json.dumps(plain(alone)))["against_codecs"] == []
    assert blocks(alone)["shortfalls"].startswith("- work")


def test_the_figures_are_plain_and_name_every_option(comparison):
    figures = json.loads(json.dumps(plain(comparison)))
    assert len(figures["options"]) == len(ROWS)
    needed = {"side", "pictures", "point", "codec", "rate", "bytes_mean", "top1", "top5", "agreement", "device_share"}
    assert needed <= figures["options"][0].keys()
    assert [each["met"] for each in figures["wanted"]] == [True, False, True, False, True]
    assert figures["missing"] == ["a deepcod c12-s2-l16"]
    assert figures["claims"]["jointdnn"][0]["ratio"] == 0.75


def test_measured_blocks_are_replaced_and_the_text_around_them_stays():
    text = "one\n<!-- measured: a -->\nold\n<!-- end -->\ntwo\n<!-- measured: b -->\n<!-- end -->\n"
    new = filled(text, {"a": "A \\1", "b": "B", "c": "C"})
    assert new.startswith("one\n<!-- measured: a -->\n\nA \\1\n\n<!-- end -->\ntwo\n")
    assert filled(new, {"a": "A \\1", "b": "B"}) == new
    assert block_names(new) == ["a", "b"]


@pytest.mark.parametrize("text", ["none", "<!-- measured: strange -->\n<!-- end -->"])
def test_a_document_without_blocks_or_with_a_strange_one_is_refused(text, tmp_path):
    document = tmp_path / "d.md"
    document.write_text(text)
    with pytest.raises(SettingError, match=r"no measured block|nothing to write for 'strange'") as caught:
        fill(document, {"a": "A"})
    assert "names are a" in caught.value.mend
    assert document.read_text() == text


def test_a_document_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingError, match="cannot be written"):
        fill(tmp_path / "d.md", {"a": "A"})


def test_the_page_of_the_codecs_has_every_block(comparison):
    assert sorted(block_names(DOCUMENT.read_text(encoding="utf-8"))) == sorted(blocks(comparison))


def test_the_plots_are_small_pictures(comparison, tmp_path):
    plot_papers(comparison.rows, tmp_path / "p.png")
    plot_baselines(comparison.rows, tmp_path / "img" / "b.png")
    for path in (tmp_path / "p.png", tmp_path / "img" / "b.png"):
        assert 5_000 < path.stat().st_size < MOST_PLOT_BYTES
        with Image.open(path) as picture:
            assert picture.format == "PNG"
