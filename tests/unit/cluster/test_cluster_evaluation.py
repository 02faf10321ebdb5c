import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cluster.bundles.synthetic import write_synthetic
from cluster.evaluation import frames as frames_module
from cluster.evaluation.accuracy import Answers, measured, right_shares
from cluster.evaluation.evaluation import Evaluator, evaluate_bundle
from cluster.evaluation.frames import CHUNK, EvaluationFrames, spread
from cluster.evaluation.option_group import OptionGroup
from cluster.evaluation.selection import Selection
from cluster.evaluation.timing import timings
from wire.bitstream import HEADER_BYTES
from wire.codings import Float32Coding, RawCoding
from wire.errors import BundleError, DataError, SettingError
from wire.manifest import MANIFEST_NAME, Input, dump_manifest
from wire.tensor_form import TensorForm

FRAME = Input(32, 32, 32)


def quiet(*_):
    pass


class Told:
    """A graph that notes what it is given, and answers with what a function makes of it."""

    def __init__(self, function):
        self.function, self.batches = function, []

    def run(self, batch):
        self.batches.append(batch)
        return self.function(batch)


def means(batch):
    return batch.mean(axis=(1, 2))


def said(best, sent):
    return Answers(np.array(best), np.array(sent), np.ones(len(best), np.float32), np.zeros(len(best), np.bool_))


def answers(*best, sent=0):
    return said(best, np.full(len(best), sent))


def test_a_measurement_counts_right_answers_agreement_and_bytes():
    given = said([[0, 9], [1, 0], [0, 2], [0, 9]], [0, 100, 200, 300])
    unsplit = answers([0, 1], [1, 0], [2, 0], [0, 3])
    figures = measured(given, unsplit, np.array([0, 1, 2, 3]), dataset="d")
    assert (figures.top1, figures.top1_drop, figures.agreement) == (0.5, 0.25, 0.75)
    assert (figures.top5, figures.top5_drop) == (0.75, 0.25)
    assert (figures.bytes_mean, figures.bytes_p95) == pytest.approx((150.0, 285.0))
    assert (figures.pictures, figures.dataset) == (4, "d")


def test_answers_are_the_five_best_classes_the_first_of_equals_first():
    scores = np.array([[0, 5, 1, 4, 2, 3, 5], [1, 1, 1, 1, 1, 1, 1]], np.float32)
    ranked = Answers.of(scores, [7, 9])
    assert ranked.best.tolist() == [[1, 6, 3, 5, 4], [0, 1, 2, 3, 4]]
    assert ranked.bytes.tolist() == [7, 9]
    assert Answers.of(scores).bytes.tolist() == [0, 0]
    assert right_shares(Answers.joined([ranked, ranked]), np.array([1, 1, 6, 6])) == (0.25, 0.75)


def test_answers_that_lead_by_too_little_are_refined_and_cost_both():
    coarse = Answers.of(np.array([[0.5, 0.3, 0.2], [0.4, 0.2, 0.4], [0.1, 0.8, 0.1]], np.float32), [10, 11, 12])
    fine = Answers.of(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], np.float32), [30, 31, 32])
    both = coarse.refined(fine, 0.15)
    assert both.best[:, 0].tolist() == [0, 2, 1]
    assert both.bytes.tolist() == [10, 42, 12]
    figures = measured(both, fine, np.array([0, 2, 1]), dataset="d")
    assert (figures.top1, figures.looks_mean, figures.bytes_mean) == (1.0, 4 / 3, 64 / 3)
    assert Answers.of(np.ones((1, 1), np.float32)).refined(fine, 1.0).looks.tolist() == [1]


def test_an_answer_that_stood_is_not_refined_later_on():
    # The first frame's answer stands though it leads by less than the third look asks; the second's is refined twice.
    coarse = Answers.of(np.array([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3]], np.float32), [10, 10])
    fine = Answers.of(np.array([[0.0, 1.0, 0.0], [0.4, 0.3, 0.3]], np.float32), [20, 20])
    finest = Answers.of(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], np.float32), [40, 40])
    every = coarse.refined(fine, 0.2).refined(finest, 0.9)
    assert every.best[:, 0].tolist() == [0, 2]
    assert (every.bytes.tolist(), every.looks.tolist()) == ([10, 70], [1, 3])


@pytest.fixture
def many(tmp_path):
    """An evaluation set of more pictures than a chunk has; the colour of each is its number."""
    (tmp_path / "images").mkdir()
    rows = ["file,label"]
    for number in range(CHUNK + 5):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / "images" / f"{number}.png")
        rows.append(f"{number}.png,{number % 4}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.parametrize("kept_bytes", [0, CHUNK * 32 * 32 * 3, 2**30])
def test_frames_come_in_chunks_of_the_backbones_size_whatever_is_kept_of_them(many, monkeypatch, kept_bytes):
    monkeypatch.setattr(frames_module, "KEPT_BYTES", kept_bytes)
    frames = EvaluationFrames(many, FRAME, classes=4)
    for _ in range(2):
        chunks = list(frames.chunks())
        assert [chunk.shape for chunk in chunks] == [(CHUNK, 32, 32, 3), (5, 32, 32, 3)]
        assert [int(frame[0, 0, 0]) for chunk in chunks for frame in chunk] == list(range(CHUNK + 5))
    assert (len(frames), frames.dataset) == (CHUNK + 5, many.name)
    assert frames.labels.tolist() == [number % 4 for number in range(CHUNK + 5)]


def test_frames_that_are_kept_are_decoded_once(many):
    frames = EvaluationFrames(many, FRAME, classes=4)
    first = list(frames.chunks())
    shutil.rmtree(many / "images")
    assert all(one is two for one, two in zip(first, frames.chunks(), strict=True))


def test_so_many_pictures_are_spread_over_all_of_them(many):
    frames = EvaluationFrames(many, FRAME, classes=4, pictures=3)
    assert [int(frame[0, 0, 0]) for frame in next(frames.chunks())] == [0, 7, 14]
    assert frames.labels.tolist() == [0, 3, 2]
    assert [int(frame[0, 0, 0]) for frame in frames.sample(2)] == [0, 7]
    assert spread(4, 9) == spread(4, None) == [0, 1, 2, 3]


def test_a_picture_that_does_not_decode_is_named(many):
    (many / "images" / "17.png").write_bytes(b"no picture")
    frames = EvaluationFrames(many, FRAME, classes=4)
    with pytest.raises(DataError, match=r"17\.png does not decode") as caught:
        list(frames.chunks())
    assert "labels.csv" in caught.value.mend


def test_a_label_that_the_backbone_does_not_have_is_refused(many):
    with pytest.raises(DataError, match=r"3\.png in .* has the label 3, and the backbone 3 classes"):
        EvaluationFrames(many, FRAME, classes=3)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("stem", [0, 1]),
        ("jpeg", [2]),
        ("stem/deepcod", [1]),
        ("*/*/q75", [2]),
        ("stem/*", [0, 1]),
        ("blocks.?", []),
        ("s*", [0, 1]),
    ],
)
def test_options_are_meant_by_their_point_their_codec_or_their_place(text, meant):
    options = [("stem", "bottlenet", "c4-s2"), ("stem", "deepcod", "c4-s2-l16"), ("input", "jpeg", "q75")]
    selection = Selection([text])
    assert [number for number, option in enumerate(options) if selection.takes(*option)] == meant
    assert all(Selection().takes(*option) for option in options)
    if meant:
        selection.check(options)
    else:
        with pytest.raises(SettingError, match="no option is meant") as caught:
            selection.check(options)
        assert "stem/bottlenet, stem/deepcod, input/jpeg" in caught.value.mend


@pytest.mark.parametrize("text", ["", "a/b/c/d"])
def test_what_names_no_options_is_refused(text):
    with pytest.raises(SettingError, match="names no options"):
        Selection([text])


def test_an_answer_is_of_what_arrives_best_class_first_and_counts_the_bytes(bundle):
    option = bundle.option(0)
    coding, graph = bundle.coding(option), Told(means)
    chunk = np.zeros((2, 32, 32, 3), np.uint8)
    chunk[0, ..., 1], chunk[..., 2], chunk[1, ::2, ::2, 0] = 200, 90, 255
    (given,) = OptionGroup([option], None, {0: coding}, {0: ()}, {option.cluster_graph: graph}).answers(chunk)
    sent = [coding.encode(frame) for frame in chunk]
    assert given.best.tolist() == [[1, 2, 0], [2, 0, 1]]
    assert given.bytes.tolist() == [len(bitstream) for bitstream in sent]
    (batch,) = graph.batches
    np.testing.assert_array_equal(batch, [coding.decode(bitstream) for bitstream in sent])
    assert not np.array_equal(batch, chunk), "JPEG loses something"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_options_of_one_device_graph_send_what_it_gives_and_it_runs_once_a_frame(bundle, dtype):
    form = TensorForm.symbols((1, 2, 3), np.dtype(dtype).name)
    kind = RawCoding if dtype == np.uint8 else Float32Coding
    options = [replace(bundle.option(1), id=number) for number in (0, 1)]
    device = Told(lambda frame: (frame[:, :2, :3, 0] + np.arange(6).reshape(2, 3))[:, None].astype(dtype))
    cluster = Told(lambda batch: batch.reshape(len(batch), -1).astype(np.float32))
    codings = {number: kind(number, form) for number in (0, 1)}
    group = OptionGroup(options, device, codings, {0: (), 1: ()}, {options[0].cluster_graph: cluster})
    first, second = group.answers(np.zeros((3, 4, 4, 3), np.uint8))
    assert first.best.tolist() == second.best.tolist() == [[5, 4, 3, 2, 1]] * 3
    assert first.bytes.tolist() == [HEADER_BYTES + form.size_bytes] * 3
    assert [batch.shape for batch in device.batches] == [(1, 4, 4, 3)] * 3
    # What both send is the same, and is answered once.
    assert [(batch.shape, batch.dtype) for batch in cluster.batches] == [((3, 1, 2, 3), dtype)]


def test_steps_that_options_share_are_timed_once_a_frame_and_the_first_time_warms_up(bundle):
    form = TensorForm.symbols((1, 2, 3))
    options = [replace(bundle.option(1), id=number) for number in (0, 1)]
    device, cluster = Told(lambda frame: np.zeros((1, 1, 2, 3), np.uint8)), Told(lambda batch: batch)
    codings = {number: RawCoding(number, form) for number in (0, 1)}
    group = OptionGroup(options, device, codings, {0: (), 1: ()}, {options[0].cluster_graph: cluster})
    times = timings(group, np.zeros((4, 4, 4, 3), np.uint8))
    assert (len(device.batches), len(cluster.batches)) == (5, 5)
    assert {batch.shape for batch in cluster.batches} == {(1, 1, 2, 3)}
    assert (times[0].device_ms, times[0].cluster_ms) == (times[1].device_ms, times[1].cluster_ms)
    assert all(min(each.encode_ms, each.decode_ms, each.device_ms, each.cluster_ms) > 0 for each in times)


def test_the_whole_backbone_has_neither_a_coder_nor_a_cluster_to_time(bundle):
    (times,) = timings(OptionGroup([bundle.option(2)], Told(means), {}, {}, {}), np.zeros((2, 32, 32, 3), np.uint8))
    assert (times.encode_ms, times.decode_ms, times.cluster_ms) == (0.0, 0.0, 0.0)
    assert times.device_ms > 0


def test_an_evaluation_gives_of_every_option_what_its_bundle_says_and_its_times_and_work(bundle, labelled):
    told = []
    evaluation = evaluate_bundle(bundle.directory, labelled, listener=told.append)
    assert (evaluation.backbone, evaluation.digest, evaluation.dataset) == ("toy", bundle.digest, labelled.name)
    assert (evaluation.pictures, evaluation.baseline_top5) == (8, 1.0)
    assert evaluation.baseline_top1 == bundle.manifest.baseline_top1
    for option, figures in zip(bundle.manifest.options, evaluation.options, strict=True):
        for name in ("top1", "top5", "top1_drop", "top5_drop", "agreement", "bytes_mean", "bytes_p95"):
            assert getattr(figures, name) == getattr(option.measured, name), (option.codec, name)
        assert (figures.point, figures.codec, figures.rate) == (option.point, option.codec, option.rate)
        assert (figures.coder, figures.symbols) == (option.coder, option.shape)
    jpeg, split, whole = evaluation.options
    assert (jpeg.device_share, jpeg.device_ms, whole.device_share, whole.cluster_ms) == (0.0, 0.0, 1.0, 0.0)
    macs = bundle.option(1).macs
    assert split.device_macs == macs.head + macs.encoder
    assert split.device_share == pytest.approx(split.device_macs / whole.device_macs)
    assert min(split.device_ms, split.encode_ms, split.decode_ms, split.cluster_ms, jpeg.encode_ms) > 0
    assert [progress.done for progress in told] == [8, 16, 24, 32]
    assert {progress.total for progress in told} == {32}
    assert [progress.option for progress in told] == [
        "unsplit backbone", "input jpeg q75", "stem bottlenet c4-s2", "output none whole",
    ]  # fmt: skip


def test_some_options_are_evaluated_on_some_pictures(bundle, labelled):
    evaluation = evaluate_bundle(bundle.directory, labelled, pictures=3, only=["bottlenet"], listener=quiet)
    (split,) = evaluation.options
    assert (evaluation.pictures, split.codec) == (3, "bottlenet")
    assert 3 * evaluation.baseline_top1 == pytest.approx(3 * (split.top1 + split.top1_drop))


def test_options_come_in_the_order_in_which_they_are_asked_for(bundle, labelled):
    evaluator = Evaluator(bundle.directory, labelled, pictures=2, listener=quiet)
    backwards = bundle.manifest.options[::-1]
    assert [figures.bytes_mean > 0 for figures in evaluator.measured(backwards)] == [False, True, True]
    assert [figures.codec for figures in evaluator.figures(backwards)] == ["none", "bottlenet", "jpeg"]


def test_options_that_do_not_exist_are_refused(bundle, labelled):
    with pytest.raises(SettingError, match="no option is meant by 'blocks'"):
        evaluate_bundle(bundle.directory, labelled, only=["blocks"], listener=quiet)


def test_a_folder_without_a_bundle_is_refused(labelled, tmp_path):
    with pytest.raises(BundleError, match="cannot be read"):
        evaluate_bundle(tmp_path / "nowhere", labelled, listener=quiet)


def test_a_bundle_without_the_whole_backbone_is_refused(labelled, tmp_path):
    bundle = write_synthetic(tmp_path / "synthetic")
    manifest = replace(bundle.manifest, options=bundle.manifest.options[:1])
    (bundle.directory / MANIFEST_NAME).write_bytes(dump_manifest(manifest))
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\n")
    shutil.copy(labelled / "images" / "0.png", tmp_path / "images")
    with pytest.raises(BundleError, match="no option at the output") as caught:
        evaluate_bundle(bundle.directory, tmp_path, listener=quiet)
    assert caught.value.mend


@pytest.mark.parametrize("listing", [None, "file,label\n", "picture,class\n0.png,1\n"])
def test_a_folder_that_is_no_evaluation_set_is_refused(bundle, tmp_path, listing):
    if listing:
        (tmp_path / "labels.csv").write_text(listing)
    with pytest.raises(DataError) as caught:
        evaluate_bundle(bundle.directory, tmp_path, listener=quiet)
    assert caught.value.mend
