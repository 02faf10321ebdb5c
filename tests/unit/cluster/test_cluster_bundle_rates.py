"""Every rate of every codec becomes an option, at the input too, and a tail may be adapted to a codec."""

import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from torch.fx.experimental.optimization import fuse

from cluster.bundles import draft
from cluster.bundles.adapted_tail import adapted_tail
from cluster.bundles.builder import BundleBuilder
from cluster.bundles.input_coding import InputCoding
from cluster.codecs.offload import EightBits, OffloadLossy
from cluster.codecs.weights import CodecKey, load_codec, save_codec
from cluster.points import Cuts
from wire.bitstream import HEADER_BYTES
from wire.bundle import Bundle
from wire.errors import BundleError, CheckpointError, SettingError

INPUTS = [InputCoding.parse(text) for text in ("jpeg-q75", "webp-q50", "jpeg-q20", "png", "raw")]
CODECS = [
    ("stem", "isthmus", "k8-s1-b1000-w8"),
    ("stem", "jointdnn", "8bit"),
    ("stem", "jalad", "c4"),
    ("stem", "jalad", "c2"),
    ("stem", "offload-lossy", "8bit"),
    ("flatten", "offload", "float32"),
]
SIX = tuple(f"r{rate}" for rate in range(1, 7))
KEY = CodecKey("toy", "stem", "bottlenet", "c4-s2")


def quiet(*_):
    pass


def rates_of(bundle, point, codec):
    return [option.rate for option in bundle.options_at(point) if option.codec == codec]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, train, trained):
    """Trained codecs of every coder that there is, one of them with JPEG pictures beside its Huffman codes."""
    folder = tmp_path_factory.mktemp("every-coder")
    for point, codec, setting in CODECS:
        train(folder, point=point, codec=codec, setting=setting)
    shutil.copy(KEY.path(trained.weights), KEY.path(folder / "weights"))
    return folder / "weights"


@pytest.fixture(scope="module")
def every(tmp_path_factory, toy, folder, labelled):
    builder = BundleBuilder(toy, folder, listener=quiet)
    return builder.build(tmp_path_factory.mktemp("bundles") / "every", data=labelled, inputs=INPUTS)


def test_every_rate_of_every_codec_is_an_option_with_what_its_coder_needs(every, folder, toy):
    # Of looks, those whose rates have tables by one another; in a codec of so few symbols some are too far apart.
    shape = Cuts(toy.module, toy.example()).point("stem").shape
    looks = load_codec(folder, CodecKey("toy", "stem", "isthmus", CODECS[0][2]), shape).looks
    assert looks
    by_codec = {}
    for option in every.manifest.options:
        by_codec.setdefault(f"{option.point} {option.codec}", []).append((option.rate, option.coder))
    assert by_codec == {
        "input jpeg": [("q75", "jpeg"), ("q20", "jpeg")],
        "input webp": [("q50", "webp")],
        "input png": [("lossless", "png")],
        "input raw": [("rgb", "raw")],
        "stem bottlenet": [("c4-s2", "huffman"), *((f"jpeg-q{q}", "jpeg") for q in (50, 75, 95))],
        "stem isthmus": [(rate, "rans") for rate in (*SIX, *(each.name for each in looks))],
        "stem jalad": [("c2", "huffman"), ("c4", "huffman")],
        "stem jointdnn": [("8bit", "png")],
        "stem offload-lossy": [("8bit", "huffman"), *((f"jpeg-q{q}", "jpeg") for q in (50, 75, 90))],
        "flatten offload": [("float32", "float32")],
        "output none": [("whole", "none")],
    }
    options = {(option.point, option.rate): option for option in every.manifest.options}
    for each in looks:
        option = options["stem", each.name]
        assert tuple(refinement.lead for refinement in option.refinements) == each.leads
        gains = [option.gains, *(refinement.gains for refinement in option.refinements)]
        assert gains == [options["stem", rate].gains for rate in each.rates]
    for side in ("device", "cluster"):
        opened = Bundle.open(every.directory, side)
        for option in opened.manifest.options[:-1]:
            opened.coding(option)
            assert len(opened.refinements(option)) == len(option.refinements)


def test_every_rate_is_measured_through_its_own_bitstreams(every):
    sizes = {f"{o.point} {o.codec} {o.rate}": o.measured.bytes_mean for o in every.manifest.options}
    assert sizes["input raw rgb"] == HEADER_BYTES + 3 * 32 * 32
    assert sizes["flatten offload float32"] == HEADER_BYTES + 4 * 8
    assert sizes["input jpeg q20"] < sizes["input jpeg q75"]
    assert sizes["stem offload-lossy jpeg-q50"] < sizes["stem offload-lossy jpeg-q90"]
    assert sizes["stem jalad c2"] < sizes["stem jalad c4"]
    assert sizes["stem isthmus r6"] <= sizes["stem isthmus r1"]
    for option in every.manifest.options:
        assert option.measured.pictures == 8
        if option.coder in ("png", "raw", "float32", "none") and option.codec != "jointdnn":
            assert (option.measured.agreement, option.measured.top1_drop) == (1.0, 0.0), option.codec


def test_rates_of_one_codec_share_its_graphs_and_the_inputs_share_the_whole_backbone(every):
    for point, codec in (("stem", "bottlenet"), ("stem", "isthmus")):
        own = [option for option in every.options_at(point) if option.codec == codec]
        assert len({(option.device_graph, option.cluster_graph) for option in own}) == 1
    assert {option.cluster_graph for option in every.options_at("input")} == {"input/cluster.onnx"}


@pytest.fixture
def _ready_graphs(every, monkeypatch):
    """Copy the graphs that are there, and leave others empty, instead of exporting them again, which takes seconds."""

    def copy(*given, **_):
        (path,) = [each for each in given if hasattr(each, "parent")]
        path.parent.mkdir(parents=True, exist_ok=True)
        ready = every.directory.joinpath(*path.parts[path.parts.index(".out.partial") + 1 :])
        path.write_bytes(ready.read_bytes() if ready.is_file() else b"")

    for name in ("export_head", "export_tail", "export_whole"):
        monkeypatch.setattr(draft, name, copy)


@pytest.mark.usefixtures("_ready_graphs")
def test_without_a_new_measurement_the_bundle_is_the_same(every, toy, folder, tmp_path):
    again = BundleBuilder(toy, folder, listener=quiet).build(tmp_path / "out", inputs=INPUTS)
    assert again.digest == every.digest


@pytest.mark.usefixtures("_ready_graphs")
@pytest.mark.parametrize(
    ("only", "taken"),
    [
        (["jalad"], {"jalad": ["c2", "c4"]}),
        (["stem/jalad-c2"], {"jalad": ["c2"]}),
        (["*/isthmus/r[12]", "flatten"], {"isthmus": ["r1", "r2"], "offload": ["float32"]}),
    ],
)
def test_only_some_codecs_or_rates_are_taken_when_they_are_named(toy, folder, tmp_path, only, taken):
    bundle = BundleBuilder(toy, folder, listener=quiet).build(tmp_path / "out", only=only)
    splits = bundle.manifest.options[1:-1]
    assert {option.codec: rates_of(bundle, option.point, option.codec) for option in splits} == taken
    named = {option.tables for option in splits} | {option.gains for option in splits}
    assert {entry.path for entry in bundle.manifest.files if entry.path.endswith(".npy")} == named - {None}


@pytest.mark.usefixtures("_ready_graphs")
def test_rates_are_named_with_their_setting_where_a_point_has_codecs_of_one_kind(toy, folder, tmp_path, trained):
    codec = load_codec(trained.weights, KEY, (8, 16, 16))
    other = CodecKey("toy", "stem", "bottlenet", "c4-s2-q75")
    bare = CodecKey("toy", "stem", "bottlenet", "c4-s2")
    weights = tmp_path / "weights"
    for key in (other, bare):
        save_codec(weights, key, codec.module, codec.rate_tables)
    for name in ("input.jpeg-q75.json", "output.none-whole.json"):
        shutil.copy(folder / "toy" / name, weights / "toy" / name)
    record = KEY.path(folder).with_suffix(".json").read_text()
    for key in (other, bare):  # the same weights, so the same record
        key.path(weights).with_suffix(".json").write_text(record)
    bundle = BundleBuilder(toy, weights, listener=quiet).build(tmp_path / "out")
    assert rates_of(bundle, "stem", "bottlenet") == [
        "c4-s2-q75", "c4-s2-q75-jpeg-q75", "c4-s2", "c4-s2-jpeg-q50", "c4-s2-jpeg-q75", "c4-s2-jpeg-q95",
    ]  # fmt: skip


def test_a_name_that_means_no_option_is_refused_with_those_that_there_are(toy, folder, tmp_path):
    with pytest.raises(SettingError, match=r"'blocks\.4'") as caught:
        BundleBuilder(toy, folder, listener=quiet).build(tmp_path / "out", only=["blocks.4"])
    assert "stem/jalad" in caught.value.mend
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("_ready_graphs")
def test_measuring_one_rate_keeps_what_was_measured_of_the_others(toy, folder, labelled, tmp_path, monkeypatch):
    weights = shutil.copytree(folder, tmp_path / "weights")
    path = KEY.path(weights).with_suffix(".json")
    before = path.read_text()
    first = {}

    def measured(self, out, options, data):
        first.update({option.rate: option for option in options})
        return [option.measured for option in options]

    monkeypatch.setattr(BundleBuilder, "_measured", measured)
    BundleBuilder(toy, weights, listener=quiet).build(tmp_path / "out", data=labelled, only=["stem/*/jpeg-q95"])
    assert list(first) == ["q75", "jpeg-q95", "whole"]
    assert path.read_text() != before
    bundle = BundleBuilder(toy, weights, listener=quiet).build(tmp_path / "out", only=["bottlenet"])
    pictures = {option.rate: option.measured.pictures for option in bundle.options_at("stem")}
    assert pictures == {"c4-s2": 8, "jpeg-q50": 8, "jpeg-q75": 8, "jpeg-q95": 0}


@pytest.mark.usefixtures("_ready_graphs")
def test_an_input_that_was_never_measured_is_refused_before_anything_is_exported(toy, trained, bundle, tmp_path):
    heard = []
    builder = BundleBuilder(toy, trained.weights, listener=lambda *what: heard.append(what))
    with pytest.raises(CheckpointError, match="nothing was measured of input webp q10"):
        builder.build(tmp_path / "out", inputs=[InputCoding("webp", 10)])
    assert heard == []


@pytest.mark.parametrize("text", ["jpeg", "jpeg-q0", "jpeg-q101", "png-q50", "gif", ""])
def test_what_is_no_way_to_send_a_frame_is_refused(text):
    with pytest.raises(SettingError, match="no way to send a frame") as caught:
        InputCoding.parse(text)
    assert "jpeg-q75" in caught.value.mend


@pytest.fixture
def adapted(trained, toy):
    """The toy's codec with a tail of its own, and that tail's weights."""
    codec = load_codec(trained.weights, KEY, (8, 16, 16)).module
    state = fuse(Cuts(toy.module, toy.example()).split("stem")[1]).state_dict()
    random = torch.Generator().manual_seed(3)
    codec.tail_delta = {name: torch.randn(tensor.shape, generator=random) for name, tensor in state.items()}
    assert sorted(state) == ["fc.bias", "fc.weight", "unit.0.bias", "unit.0.weight"]
    return codec


def test_an_adapted_tail_is_what_the_cluster_graph_runs_and_the_backbone_stays_as_it_was(
    toy, trained, adapted, labelled, tmp_path
):
    before = {name: tensor.clone() for name, tensor in toy.module.state_dict().items()}
    codec = load_codec(trained.weights, KEY, (8, 16, 16))
    save_codec(tmp_path / "weights", KEY, adapted, codec.rate_tables)
    builder = BundleBuilder(toy, tmp_path / "weights", listener=quiet)
    bundle = builder.build(tmp_path / "out", data=labelled, only=["*/bottlenet/c4-s2"])
    assert all(torch.equal(before[name], tensor) for name, tensor in toy.module.state_dict().items())

    (option,) = bundle.options_at("stem")
    symbols = np.random.default_rng(1).integers(0, 256, (3, *option.shape), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(bundle.directory / option.cluster_graph))
    (given,) = session.run(None, {"symbols": symbols})
    delta = load_codec(tmp_path / "weights", KEY, (8, 16, 16)).module.tail_delta
    with torch.inference_mode():
        x = adapted.decoder(torch.from_numpy(symbols))
        x = x + torch.conv2d(x, delta["unit.0.weight"], delta["unit.0.bias"], padding=1)
        wanted = (x.mean(dim=(2, 3)) @ delta["fc.weight"].T + delta["fc.bias"]).softmax(dim=1).numpy()
    np.testing.assert_allclose(given, wanted, atol=1e-4)
    assert bundle.manifest.options[-1].measured.agreement == 1.0


def test_some_weights_of_a_tail_may_be_adapted_and_the_rest_stay_the_backbones(toy, adapted):
    tail = Cuts(toy.module, toy.example()).split("stem")[1]
    adapted.tail_delta = {"fc.bias": torch.arange(4.0)}
    state, plain = adapted_tail(adapted, tail).state_dict(), fuse(tail).state_dict()
    assert torch.equal(state.pop("fc.bias"), torch.arange(4.0))
    assert all(torch.equal(tensor, plain[name]) for name, tensor in state.items())


def test_weights_that_the_fused_tail_does_not_have_are_refused_by_their_names_and_shapes(toy, adapted):
    tail = Cuts(toy.module, toy.example()).split("stem")[1]
    adapted.tail_delta = {"unit.1.weight": torch.zeros(8), "fc.bias": torch.zeros(5), "fc.weight": torch.zeros(4, 8)}
    with pytest.raises(CheckpointError) as caught:
        adapted_tail(adapted, tail)
    assert "bottlenet c4-s2" in caught.value.message
    assert "unit.1.weight is not in it; fc.bias is (5,) instead of (4,)" in caught.value.message
    assert "fc.weight" not in caught.value.message
    assert caught.value.mend


@pytest.mark.usefixtures("_ready_graphs")
def test_a_rate_whose_tables_are_missing_is_refused(toy, labelled, tmp_path):
    key = CodecKey("toy", "stem", "offload-lossy", "8bit")
    save_codec(tmp_path / "weights", key, OffloadLossy((8, 16, 16), EightBits()), {})
    with pytest.raises(CheckpointError, match="no coder tables for the rate huffman"):
        BundleBuilder(toy, tmp_path / "weights", listener=quiet).build(tmp_path / "out", data=labelled)


@pytest.mark.usefixtures("_ready_graphs")
def test_what_no_message_can_hold_is_refused_before_it_is_measured(toy, folder, labelled, tmp_path, monkeypatch):
    monkeypatch.setattr("wire.option_faults.MAX_BITSTREAM_BYTES", 3000)
    with pytest.raises(BundleError, match="sends 3080 bytes a frame"):
        BundleBuilder(toy, folder, listener=quiet).build(tmp_path / "out", data=labelled, inputs=INPUTS[-1:])
