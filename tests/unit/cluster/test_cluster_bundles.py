import shutil
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cluster.backbones.registry import Backbone, Normalise
from cluster.bundles import draft
from cluster.bundles.builder import BundleBuilder
from cluster.bundles.synthetic import SYNTHETIC_POINT, write_synthetic
from cluster.codecs.weights import CodecKey, load_codec
from cluster.points import Cuts
from cluster.tensor_digest import tensor_digest
from wire.bitstream import HEADER_BYTES
from wire.bundle import Bundle
from wire.errors import BundleError, CheckpointError, DataError

PIXELS = np.random.default_rng(9).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def quiet(*_):
    pass


def session(bundle, name):
    return onnxruntime.InferenceSession(str(bundle.directory / name), providers=["CPUExecutionProvider"])


@pytest.fixture
def weights(trained, bundle, tmp_path):
    """A copy of the toy's weights with what was measured of them."""
    return shutil.copytree(trained.weights, tmp_path / "weights")


@pytest.fixture
def unmeasured(weights):
    for path in weights.rglob("*.json"):
        path.unlink()
    return weights


@pytest.fixture
def ready_graphs(bundle, monkeypatch):
    """Copy the graphs of the session's bundle instead of exporting the same ones again, which takes seconds."""
    graphs = [path.relative_to(bundle.directory) for path in bundle.directory.rglob("*.onnx")]

    def copy(path):
        (graph,) = [graph for graph in graphs if path.as_posix().endswith(f"/{graph.as_posix()}")]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle.directory / graph, path)

    monkeypatch.setattr(draft, "export_head", lambda backbone, head, codec, path: copy(path))
    monkeypatch.setattr(draft, "export_tail", lambda codec, tail, path: copy(path))
    monkeypatch.setattr(draft, "export_whole", lambda backbone, path, *, batched: copy(path))


def test_a_bundle_opens_from_both_sides_and_has_an_option_for_either_end_and_every_codec(bundle):
    for side in ("device", "cluster"):
        assert Bundle.open(bundle.directory, side).digest == bundle.digest
    assert [(option.id, option.point, option.coder) for option in bundle.manifest.options] == [
        (0, "input", "jpeg"),
        (1, "stem", "huffman"),
        (2, "output", "none"),
    ]
    assert bundle.labels() == ("ant", "bee", "cat", "dog")


def test_a_side_is_given_only_its_own_graphs(bundle):
    sides = {entry.path: entry.side for entry in bundle.manifest.files}
    assert {side for path, side in sides.items() if path.endswith("device.onnx")} == {"device"}
    assert {side for path, side in sides.items() if path.endswith("cluster.onnx")} == {"cluster"}
    assert {side for path, side in sides.items() if not path.endswith(".onnx")} == {"both"}


def test_the_shipped_graphs_answer_through_a_bitstream_what_the_trained_modules_answer(bundle, toy, trained):
    option = bundle.option(1)
    device, cluster = session(bundle, option.device_graph), session(bundle, option.cluster_graph)
    codec = load_codec(trained.weights, CodecKey("toy", "stem", "bottlenet", "c4-s2"), (8, 16, 16)).module
    head, tail = Cuts(toy.module, toy.example()).split("stem")
    coding = bundle.coding(option)
    received = []
    for pixels in PIXELS:
        (symbols,) = device.run(["symbols"], {"pixels": pixels[None]})
        assert (symbols.dtype, symbols.shape) == (np.uint8, (1, *option.shape))
        with torch.inference_mode():
            wanted = codec.encoder(head(Normalise(toy.frame)(torch.from_numpy(pixels)[None]))).numpy()
        # The export folds batch norms into convolutions, so a value half-way between two levels may fall either way.
        assert np.abs(symbols.astype(int) - wanted).max() <= 1
        assert np.mean(symbols == wanted) > 0.98
        received.append(coding.decode(coding.encode(symbols[0])))
        np.testing.assert_array_equal(received[-1], symbols[0])
    batch = np.stack(received)
    (probabilities,) = cluster.run(["probabilities"], {"symbols": batch})
    with torch.inference_mode():
        wanted = tail(codec.decoder(torch.from_numpy(batch))).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)


def test_the_ends_of_the_bundle_are_the_unsplit_backbone(bundle, toy):
    with torch.inference_mode():
        wanted = toy.module(Normalise(toy.frame)(torch.from_numpy(PIXELS))).softmax(dim=1).numpy()
    (batched,) = session(bundle, bundle.option(0).cluster_graph).run(["probabilities"], {"pixels": PIXELS})
    np.testing.assert_allclose(batched, wanted, atol=1e-5)
    alone = session(bundle, bundle.option(2).device_graph)
    for pixels, row in zip(PIXELS, wanted, strict=True):
        np.testing.assert_allclose(alone.run(None, {"pixels": pixels[None]})[0][0], row, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_a_cluster_graph_takes_batches_of_any_size(bundle, count):
    symbols = np.zeros((count, *bundle.option(1).shape), np.uint8)
    (probabilities,) = session(bundle, bundle.option(1).cluster_graph).run(None, {"symbols": symbols})
    assert probabilities.shape == (count, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_the_work_on_either_side_is_that_of_the_point_and_of_the_codec(bundle, toy):
    jpeg, split, whole = bundle.manifest.options
    stem = Cuts(toy.module, toy.example()).point("stem")
    assert (split.macs.head, split.macs.tail) == (stem.head_macs, stem.tail_macs)
    # Encoder: 1×1 of 8 to 4 over 16×16, then 4×4 of 4 to 4 over 8×8.
    assert split.macs.encoder == 8 * 4 * 16 * 16 + 4 * 4 * 16 * 8 * 8
    assert split.macs.decoder > 0
    assert (jpeg.macs.head, whole.macs.tail) == (0, 0)
    assert jpeg.macs.tail == whole.macs.head == stem.head_macs + stem.tail_macs


def test_what_was_measured_is_in_the_manifest_and_beside_the_weights(bundle, trained, labelled):
    jpeg, split, whole = (option.measured for option in bundle.manifest.options)
    assert {figures.pictures for figures in (jpeg, split, whole)} == {8}
    assert {figures.dataset for figures in (jpeg, split, whole)} == {labelled.name}
    assert (whole.agreement, whole.top1_drop, whole.bytes_mean) == (1.0, 0.0, 0.0)
    assert whole.top1 == bundle.manifest.baseline_top1
    assert split.top1 == pytest.approx(whole.top1 - split.top1_drop)
    assert {figures.top5 for figures in (jpeg, split, whole)} == {1.0}, "there are but four classes"
    assert HEADER_BYTES < split.bytes_mean <= split.bytes_p95
    assert len(list(trained.weights.rglob("*.json"))) == 3


def test_two_builds_of_the_same_weights_have_the_same_digest_measured_or_from_the_record(
    bundle, toy, weights, tmp_path
):
    again = BundleBuilder(toy, weights, listener=quiet).build(tmp_path / "else" / "where")
    assert again.manifest == bundle.manifest
    assert again.digest == bundle.digest


def test_a_graph_says_nothing_of_the_machine_that_exported_it(bundle):
    for path in bundle.directory.rglob("*.onnx"):
        assert b"/work" not in path.read_bytes()
        assert b".py" not in path.read_bytes()
        onnx.checker.check_model(onnx.load(path))


@pytest.mark.usefixtures("ready_graphs")
def test_the_listener_hears_what_is_exported_and_measured(toy, unmeasured, labelled, tmp_path):
    heard = []
    BundleBuilder(toy, unmeasured, listener=lambda *what: heard.append(what)).build(tmp_path / "out", data=labelled)
    exported = [name for stage, name, _ in heard if stage == "export"]
    assert exported == ["input jpeg q75", "stem bottlenet c4-s2", "output none whole"]
    for name in ("unsplit backbone", *exported):
        assert sum(frames for stage, said, frames in heard if (stage, said) == ("measure", name)) == 8


@pytest.mark.usefixtures("ready_graphs")
def test_without_a_measurement_there_is_no_bundle_and_nothing_of_it_stays(toy, unmeasured, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match="nothing was measured") as caught:
        BundleBuilder(toy, unmeasured, listener=quiet).build(out)
    assert caught.value.mend
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


@pytest.mark.usefixtures("ready_graphs")
def test_a_measurement_behind_another_backbone_is_not_believed(toy, weights, tmp_path):
    other = type(toy.module)()
    with pytest.raises(CheckpointError, match="other weights"):
        BundleBuilder(replace(toy, module=other.eval()), weights, listener=quiet).build(tmp_path / "out")


@pytest.mark.usefixtures("ready_graphs")
def test_a_build_that_fails_leaves_the_bundle_that_was_there(toy, bundle, weights, tmp_path):
    out = shutil.copytree(bundle.directory, tmp_path / "out")
    (weights / "toy" / "stem.bottlenet-c4-s2.json").unlink()
    with pytest.raises(CheckpointError):
        BundleBuilder(toy, weights, listener=quiet).build(out)
    assert Bundle.open(out, "cluster").digest == bundle.digest
    assert {path.name for path in tmp_path.iterdir()} == {"weights", "out"}


@pytest.mark.usefixtures("ready_graphs")
def test_a_bundle_that_was_there_is_replaced_whole(toy, bundle, weights, tmp_path):
    out = shutil.copytree(bundle.directory, tmp_path / "out")
    (out / "left over").touch()
    (out / "labels.txt").write_text("changed")
    assert BundleBuilder(toy, weights, listener=quiet).build(out).digest == bundle.digest
    assert not (out / "left over").exists()


def test_a_folder_that_is_no_bundle_is_never_overwritten(toy, weights, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="is no bundle") as caught:
        BundleBuilder(toy, weights, listener=quiet).build(out)
    assert "--out" in caught.value.mend
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_bundle_that_cannot_be_written_is_said_so(toy, weights, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot be written") as caught:
        BundleBuilder(toy, weights, listener=quiet).build(tmp_path / "file" / "out")
    assert caught.value.mend


def test_a_backbone_without_codecs_makes_no_bundle(toy, tmp_path):
    with pytest.raises(CheckpointError, match="no codec of toy"):
        BundleBuilder(toy, tmp_path / "nowhere", listener=quiet).build(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("ready_graphs")
def test_a_broken_evaluation_set_makes_no_bundle(toy, weights, tmp_path):
    with pytest.raises(DataError):
        BundleBuilder(toy, weights, listener=quiet).build(tmp_path / "out", data=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"weights"}


def test_any_change_of_a_weight_changes_the_digest_of_the_weights():
    one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    two.load_state_dict(one.state_dict())
    assert tensor_digest(one.state_dict()) == tensor_digest(two.state_dict())
    with torch.no_grad():
        two.bias[0] += 1e-3
    assert tensor_digest(one.state_dict()) != tensor_digest(two.state_dict())


def test_the_synthetic_bundle_opens_and_tells_red_from_blue_on_either_side(tmp_path):
    bundle = write_synthetic(tmp_path / "synthetic")
    Bundle.open(bundle.directory, "device")
    (split,) = bundle.options_at(SYNTHETIC_POINT)
    coding = bundle.coding(split)
    for colour, label in ((0, "red"), (1, "green"), (2, "blue")):
        pixels = np.zeros((1, 13, 13, 3), np.uint8)
        pixels[..., colour] = 180
        (symbols,) = session(bundle, split.device_graph).run(None, {"pixels": pixels})
        bitstream = coding.encode(symbols[0])
        assert len(bitstream) == split.measured.bytes_mean
        back = coding.decode(bitstream)
        (there,) = session(bundle, split.cluster_graph).run(None, {"symbols": back[None]})
        (here,) = session(bundle, "whole.onnx").run(None, {"pixels": pixels})
        np.testing.assert_allclose(there, here)
        assert bundle.labels()[there[0].argmax()] == label


def test_the_synthetic_bundle_is_the_same_wherever_it_is_written(tmp_path):
    assert write_synthetic(tmp_path / "a").digest == write_synthetic(tmp_path / "b" / "c").digest


def test_a_backbone_is_a_plain_record_that_a_user_can_make(toy):
    assert isinstance(toy, Backbone)
    assert toy.example(3).shape == (3, 3, 32, 32)
