import hashlib
import io
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from device_agent.device_profile import measure_profile
from device_agent.head import HeadRuntime
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.ids import OptionId, PointName
from wire.manifest import MANIFEST_SCHEMA, FileEntry, Input, Macs, Manifest, Measured, Option, Refinement, digest_of
from wire.rans_tables import integer_tables

SIDE = 8
PIXELS = np.random.default_rng(2).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)


def graph(kind: int, dims: list[int | str], *, reduces: bool = False) -> bytes:
    """Pixels as planes (1, 3, 8, 8) of a type; or their means (1, 3), which tell the best colour."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["cast"], to=kind),
        helper.make_node("Transpose", ["cast"], ["planes" if reduces else "out"], perm=[0, 3, 1, 2]),
    ]
    if reduces:
        nodes.append(helper.make_node("ReduceMean", ["planes"], ["out"], axes=[2, 3], keepdims=0))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, SIDE, SIDE, 3])
    made = helper.make_graph(nodes, "tiny", [pixels], [helper.make_tensor_value_info("out", kind, dims)])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


FILES = {
    "symbols.onnx": graph(TensorProto.UINT8, [1, 3, SIDE, SIDE]),
    "real.onnx": graph(TensorProto.FLOAT, [1, 3, SIDE, SIDE]),
    "whole.onnx": graph(TensorProto.FLOAT, [1, 3], reduces=True),
    "tables.npy": npy(np.ones((1, 256), np.uint16)),
    "rans.npy": npy(integer_tables(np.ones((3, 1, 128), np.int64), np.zeros((3, 1), np.int64))),
    "fine.npy": npy(np.array([[0.5] * 3, [2.0] * 3], np.float32)),
    "coarse.npy": npy(np.array([[0.05] * 3, [20.0] * 3], np.float32)),
    "refined.npy": npy(integer_tables(np.ones((3, 1, 8), np.int64), np.zeros((3, 1), np.int64))),
    "middle.npy": npy(np.array([[0.2] * 3, [5.0] * 3], np.float32)),
}
MEASURED = Measured(
    dataset="none", pictures=0, top1=0, top1_drop=0, top5=0, top5_drop=0, agreement=0, bytes_mean=0, bytes_p95=0
)
HUFFMAN = Option(
    id=OptionId(0), point=PointName("mid"), codec="c", rate="huffman", coder="huffman", shape=(3, SIDE, SIDE),
    device_graph="symbols.onnx", cluster_graph="tail.onnx", tables="tables.npy", gains=None, quality=None,
    macs=Macs(1, 1, 1, 1), measured=MEASURED,
)  # fmt: skip
PNG = replace(HUFFMAN, id=OptionId(1), coder="png", tables=None)
FINE = replace(
    HUFFMAN, id=OptionId(2), coder="rans", device_graph="real.onnx", tables="rans.npy", gains="fine.npy",
    cluster_graph="real-tail.onnx",
)  # fmt: skip
COARSE = replace(FINE, id=OptionId(3), gains="coarse.npy")
REFINED = replace(
    COARSE, refinements=(Refinement(0.25, "refined.npy", "middle.npy"), Refinement(0.15, "refined.npy", "fine.npy"))
)
FLOAT32 = replace(FINE, id=OptionId(4), coder="float32", tables=None, gains=None)
JPEG = replace(PNG, id=OptionId(5), point=PointName("input"), coder="jpeg", device_graph=None, quality=90)
RAW = replace(JPEG, id=OptionId(6), coder="raw", quality=None)
WHOLE = replace(
    PNG, id=OptionId(7), point=PointName("output"), coder="none", shape=(1, 1, 1), device_graph="whole.onnx",
    cluster_graph=None,
)  # fmt: skip
OPTIONS = (HUFFMAN, PNG, FINE, COARSE, FLOAT32, JPEG, RAW, WHOLE)


@pytest.fixture
def make_head(tmp_path):
    def make(*options: Option) -> HeadRuntime:
        for name, data in FILES.items():
            (tmp_path / name).write_bytes(data)
        entries = tuple(
            FileEntry(name, hashlib.sha256(data).hexdigest(), len(data), "both") for name, data in FILES.items()
        )
        manifest = Manifest(
            schema=MANIFEST_SCHEMA, backbone="tiny", created_by="tests", input=Input(SIDE, SIDE, SIDE),
            labels="labels.txt", baseline_top1=0.0, options=options, files=entries,
        )  # fmt: skip
        return HeadRuntime(Bundle(tmp_path, manifest, digest_of(b""), "device"), threads=1)

    return make


@pytest.fixture
def head(make_head):
    return make_head(*OPTIONS)


PLANES = PIXELS[0].transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("option", "wanted", "off_by"),
    [
        (HUFFMAN, PLANES, 0),
        (PNG, PLANES, 0),
        (FINE, PLANES, 2),
        (COARSE, PLANES, 20),
        (FLOAT32, PLANES, 0),
        (RAW, PIXELS[0], 0),
    ],
    ids=lambda value: value.coder if isinstance(value, Option) else None,
)
def test_what_is_sent_is_what_the_graph_gives_or_the_frame_itself(head, option, wanted, off_by):
    decoded = head.bundle.coding(option).decode(head.encode(option, PIXELS).bitstream)
    option.form.check(decoded)
    assert np.abs(decoded.astype(float) - wanted).max() <= off_by


def test_a_frame_without_a_head_is_coded_as_the_devices_work(head):
    warm = head.encode(JPEG, PIXELS)
    again = head.encode(JPEG, PIXELS)
    assert (again.warm_s, again.code_s) == (0.0, 0.0)
    assert min(warm.warm_s, again.device_s) > 0.0
    assert again.bitstream == warm.bitstream


def test_options_that_share_a_graph_share_its_session_and_its_warm_up(head, monkeypatch):
    asked = []
    sessions = head._sessions
    run, prepare = sessions.run, sessions.prepare
    monkeypatch.setattr(sessions, "run", lambda graph, pixels: (asked.append(("run", graph)), run(graph, pixels))[1])
    monkeypatch.setattr(sessions, "prepare", lambda graph: (asked.append(("prepare", graph)), prepare(graph)))
    for option in (FINE, COARSE, FLOAT32):
        head.warm(option, PIXELS)
    assert asked == [("prepare", "real.onnx"), ("run", "real.onnx")]
    assert head.encode(COARSE, PIXELS).warm_s == 0.0


def test_each_look_refines_what_the_looks_before_it_were_decoded_to_without_the_head(make_head, monkeypatch):
    head = make_head(REFINED, WHOLE)
    encoded = head.encode(REFINED, PIXELS)
    decoded = [head.bundle.coding(REFINED).decode(encoded.bitstream)]
    runs = []
    monkeypatch.setattr(head._sessions, "run", lambda graph, pixels: runs.append(graph))
    for look, coding in enumerate(head.bundle.refinements(REFINED), start=1):
        encoded = head.refine(REFINED, encoded, look)
        decoded.append(coding.decode(encoded.bitstream, decoded[-1]))
        assert (encoded.device_s, encoded.warm_s) == (0.0, 0.0)
        assert encoded.code_s > 0.0
    assert not runs
    # What a look gives is off by half a step at most: 20, 5 and 2 are the steps.
    for symbols, most in zip(decoded, (10, 2.5, 1), strict=True):
        assert np.abs(symbols - PLANES).max() <= most


def test_an_option_is_made_ready_together_with_its_refinements(make_head, monkeypatch):
    head = make_head(REFINED, WHOLE)
    coded = []
    for look, coding in enumerate((head.bundle.coding(REFINED), *head.bundle.refinements(REFINED))):
        encode = coding.encode
        monkeypatch.setattr(
            coding, "encode", lambda tensor, look=look, encode=encode: (coded.append(look), encode(tensor))[1]
        )
    head.warm(REFINED, PIXELS)
    assert coded == [0, 1, 2]
    head.warm(REFINED, PIXELS)
    assert coded == [0, 1, 2]


def test_a_slower_device_refines_as_slowly(make_head, monkeypatch):
    head = make_head(REFINED, WHOLE)
    encoded = head.encode(REFINED, PIXELS)
    slept_s = []
    monkeypatch.setattr("device_agent.head.time.sleep", slept_s.append)
    head._slowdown = 3.0
    own_s = head.refine(REFINED, encoded, 1).code_s
    assert 0.0 < slept_s[0] / 2 < own_s


def test_the_profile_has_every_option_that_the_device_can_choose(head):
    profile = measure_profile(head)
    assert set(profile) == {option.id for option in OPTIONS}
    assert min(profile.values()) > 0.0


def test_the_device_answers_alone_with_the_best_class_first(head):
    blue = np.zeros_like(PIXELS)
    blue[..., 2], blue[..., 1] = 200, 100
    answer = head.answer(blue)
    assert answer.labels == (2, 1, 0)
    assert answer.scores == (200.0, 100.0, 0.0)


@pytest.mark.parametrize(
    "option",
    [
        replace(FINE, device_graph="symbols.onnx"),
        replace(PNG, device_graph="real.onnx"),
        replace(PNG, shape=(3, 4, 16)),
        replace(PNG, device_graph="whole.onnx"),
    ],
)
def test_a_graph_that_gives_what_its_coder_does_not_take_is_a_fault_of_the_bundle(make_head, option):
    with pytest.raises(BundleError, match=f"the coder of option {option.id} does not fit its graph") as caught:
        make_head(option, WHOLE).encode(option, PIXELS)
    assert caught.value.mend
