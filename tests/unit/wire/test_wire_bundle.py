import hashlib
import io
import os
from dataclasses import replace

import numpy as np
import pytest

from wire.bitstream import Coder, peek
from wire.bundle import Bundle, verify_file
from wire.errors import BundleError, LookMissing, UnknownOption
from wire.huffman import HuffmanCoder
from wire.latent_codings import refinement_coder
from wire.manifest import (
    MANIFEST_SCHEMA,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Input,
    Macs,
    Manifest,
    Measured,
    Option,
    Refinement,
    digest_of,
    dump_manifest,
)
from wire.rans_tables import integer_tables
from wire.tensor_form import TensorForm

MEASURED = Measured(
    dataset="d", pictures=1, top1=1.0, top1_drop=0.0, top5=1.0, top5_drop=0.0, agreement=1.0, bytes_mean=1.0,
    bytes_p95=1.0,
)  # fmt: skip
SPLIT = Option(
    id=4,
    point="mid",
    codec="c",
    rate="r",
    coder="huffman",
    shape=(3, 2, 2),
    device_graph="device/head.onnx",
    cluster_graph="cluster/tail.onnx",
    tables="tables.npy",
    gains=None,
    quality=None,
    macs=Macs(1, 1, 1, 1),
    measured=MEASURED,
)
ALONE = replace(SPLIT, id=9, point="output", coder="none", shape=(1, 1, 1), cluster_graph=None, tables=None)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(array):
    buffer = io.BytesIO()
    np.savez(buffer, array)
    return buffer.getvalue()


CONTENTS = {
    "device/head.onnx": (b"head", "device"),
    "cluster/tail.onnx": (b"tail", "cluster"),
    "tables.npy": (npy(np.ones((3, 5), np.uint16)), "both"),
    "labels.txt": ("cat\nchien\nñandú\n".encode(), "both"),
}


def rans_tables(channels=3):
    """Even tables of 8 levels in one context, as ``wire.rans_tables`` wants them."""
    return integer_tables(np.ones((channels, 1, 8), np.int64), np.zeros((channels, 1), np.int64))


RANS_FILES = {
    "rans.npy": npy(rans_tables()),
    "gains.npy": npy(np.array([[1, 2, 4], [1, 0.5, 0.25]], np.float32)),
}


OPTIONS = (SPLIT, ALONE, replace(SPLIT, id=5))


def make_bundle(directory, *, options=OPTIONS, **changes):
    contents = {**CONTENTS, **{name: (data, "both") for name, data in changes.items()}}
    for name, (data, _) in contents.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    manifest = Manifest(
        schema=MANIFEST_SCHEMA,
        backbone="b",
        created_by="test",
        input=Input(8, 8, 8),
        labels="labels.txt",
        baseline_top1=1.0,
        options=tuple(options),
        files=tuple(
            FileEntry(name, hashlib.sha256(data).hexdigest(), len(data), side)
            for name, (data, side) in contents.items()
        ),
    )
    (directory / "manifest.json").write_bytes(dump_manifest(manifest))
    return manifest


@pytest.fixture
def directory(tmp_path):
    make_bundle(tmp_path)
    return tmp_path


@pytest.mark.parametrize("side", ["device", "cluster"])
def test_a_whole_bundle_opens_from_either_side(directory, side):
    bundle = Bundle.open(directory, side)
    assert bundle.directory == directory
    assert bundle.digest == digest_of((directory / "manifest.json").read_bytes())
    assert bundle.points == ("mid", "output")
    assert [option.id for option in bundle.options_at("mid")] == [4, 5]
    assert bundle.options_at("nowhere") == ()
    assert bundle.option(9) == ALONE
    assert bundle.labels() == ("cat", "chien", "ñandú")
    assert {entry.side for entry in bundle.expected_files(side)} == {side, "both"}


def test_a_side_does_not_need_the_files_of_the_other(directory):
    (directory / "cluster/tail.onnx").unlink()
    bundle = Bundle.open(directory, "device")
    assert bundle.path("device/head.onnx").read_bytes() == b"head"
    with pytest.raises(BundleError, match=r"tail\.onnx' for the device"):
        bundle.path("cluster/tail.onnx")
    with pytest.raises(BundleError, match=r"tail\.onnx is missing"):
        Bundle.open(directory, "cluster")


def test_an_unknown_option_is_named(directory):
    with pytest.raises(UnknownOption, match="no option 77"):
        Bundle.open(directory, "device").option(77)


@pytest.mark.parametrize("name", ["device/head.onnx", "tables.npy", "labels.txt"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"\x00"),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
    ],
    ids=["missing", "shorter", "longer", "changed", "directory", "fifo"],
)
def test_a_damaged_file_is_found_and_named(directory, name, damage):
    damage(directory / name)
    with pytest.raises(BundleError, match=name) as caught:
        Bundle.open(directory, "device")
    assert "again" in caught.value.mend


def test_a_manifest_that_is_missing_or_too_long_is_named(directory, tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
        Bundle.open(tmp_path / "nowhere", "device")
    (directory / "manifest.json").write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(BundleError, match="bytes"):
        Bundle.open(directory, "device")


def test_verify_file_takes_a_file_as_it_should_be(directory):
    data = CONTENTS["labels.txt"][0]
    entry = FileEntry("labels.txt", hashlib.sha256(data).hexdigest(), len(data), "both")
    verify_file(directory / "labels.txt", entry)


def test_a_coding_is_made_once_and_codes(directory):
    bundle = Bundle.open(directory, "cluster")
    coding = bundle.coding(SPLIT)
    assert bundle.coding(bundle.option(4)) is coding
    symbols = np.arange(12, dtype=np.uint8).reshape(3, 2, 2) % 5
    np.testing.assert_array_equal(coding.decode(coding.encode(symbols)), symbols)


def test_options_that_share_tables_share_the_coder_and_keep_their_ids(directory, monkeypatch):
    made = []
    monkeypatch.setattr("wire.bundle.HuffmanCoder", lambda tables: made.append(tables) or HuffmanCoder(tables))
    bundle = Bundle.open(directory, "cluster")
    codings = [bundle.coding(bundle.option(number)) for number in (4, 5)]
    assert len(made) == 1
    assert [peek(coding.encode(coding.blank())).option_id for coding in codings] == [4, 5]


def test_one_table_serves_any_number_of_channels(tmp_path):
    make_bundle(tmp_path, **{"tables.npy": npy(np.ones((1, 5), np.uint16))})
    coding = Bundle.open(tmp_path, "device").coding(SPLIT)
    assert coding.decode(coding.encode(coding.blank())).shape == (3, 2, 2)


PIXELS = replace(SPLIT, point="input", shape=(3, 8, 8), device_graph=None, tables=None)


@pytest.mark.parametrize(
    ("option", "coder", "form"),
    [
        (SPLIT, Coder.HUFFMAN, TensorForm.symbols((3, 2, 2))),
        (replace(SPLIT, coder="rans", gains="gains.npy", tables="rans.npy"), Coder.RANS,
         TensorForm.symbols((3, 2, 2), "float32")),
        (replace(SPLIT, coder="raw", tables=None), Coder.RAW, TensorForm.symbols((3, 2, 2))),
        (replace(PIXELS, coder="raw"), Coder.RAW, TensorForm.pixels(8, 8)),
        (replace(SPLIT, coder="float32", tables=None), Coder.FLOAT32, TensorForm.symbols((3, 2, 2), "float32")),
        (replace(SPLIT, coder="jpeg", tables=None, quality=50), Coder.JPEG, TensorForm.symbols((3, 2, 2))),
        (replace(PIXELS, coder="jpeg", quality=50), Coder.JPEG, TensorForm.pixels(8, 8)),
        (replace(SPLIT, coder="png", tables=None), Coder.PNG, TensorForm.symbols((3, 2, 2))),
        (replace(PIXELS, coder="png"), Coder.PNG, TensorForm.pixels(8, 8)),
        (replace(SPLIT, coder="webp", tables=None, quality=50), Coder.WEBP, TensorForm.symbols((3, 2, 2))),
        (replace(PIXELS, coder="webp", quality=50), Coder.WEBP, TensorForm.pixels(8, 8)),
    ],
)  # fmt: skip
def test_every_coder_has_a_coding_that_both_sides_agree_on(tmp_path, option, coder, form):
    make_bundle(tmp_path, options=(option, ALONE), **RANS_FILES)
    device, cluster = (Bundle.open(tmp_path, side).coding(option) for side in ("device", "cluster"))
    assert device.form == cluster.form == form
    bitstream = device.encode(device.blank())
    assert peek(bitstream).coder is coder
    decoded = cluster.decode(bitstream)
    assert (decoded.shape, decoded.dtype) == (form.shape, form.dtype)


def test_a_quality_is_the_pictures_own(tmp_path):
    options = [replace(PIXELS, id=number, coder="jpeg", quality=quality) for number, quality in ((4, 20), (5, 95))]
    make_bundle(tmp_path, options=options)
    bundle = Bundle.open(tmp_path, "device")
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    coarse, fine = (len(bundle.coding(option).encode(noise)) for option in options)
    assert coarse < fine


def test_gains_are_those_of_the_file(tmp_path):
    option = replace(SPLIT, coder="rans", gains="gains.npy", tables="rans.npy")
    make_bundle(tmp_path, options=(option, ALONE), **RANS_FILES)
    coding = Bundle.open(tmp_path, "device").coding(option)
    given = np.full((3, 2, 2), 1.3, np.float32)
    np.testing.assert_allclose(coding.decode(coding.encode(given))[:, 0, 0], [1.0, 1.5, 1.25])


REFINED = replace(
    SPLIT,
    coder="rans",
    tables="rans.npy",
    gains="gains.npy",
    refinements=(Refinement(0.5, "finer.npy", "gains1.npy"), Refinement(0.25, "finer.npy", "gains2.npy")),
)
REFINED_FILES = {
    **RANS_FILES,
    "finer.npy": npy(rans_tables()),
    "gains1.npy": npy(np.array([[2, 4, 8], [1 / 2, 1 / 4, 1 / 8]], np.float32)),
    "gains2.npy": npy(np.array([[8, 8, 8], [1 / 8, 1 / 8, 1 / 8]], np.float32)),
}


def test_refinements_come_nearer_look_by_look_from_one_side_to_the_other(tmp_path):
    make_bundle(tmp_path, options=(REFINED, ALONE), **REFINED_FILES)
    device, cluster = (Bundle.open(tmp_path, side) for side in ("device", "cluster"))
    given = np.full((3, 2, 2), 1.15, np.float32)
    found = cluster.coding(REFINED).decode(device.coding(REFINED).encode(given))
    np.testing.assert_array_equal(found[:, 0, 0], [1.0, 1.0, 1.25])
    bitstreams = [coding.encode(given) for coding in device.refinements(REFINED)]
    assert [(peek(bitstream).option_id, peek(bitstream).look) for bitstream in bitstreams] == [(4, 1), (4, 2)]
    first, second = cluster.refinements(REFINED)
    with pytest.raises(LookMissing):
        second.decode(bitstreams[0], found)
    found = first.decode(bitstreams[0], found)
    np.testing.assert_array_equal(found[:, 0, 0], [1.0, 1.25, 1.125])
    found = second.decode(bitstreams[1], found)
    np.testing.assert_array_equal(found[:, 0, 0], [1.125, 1.125, 1.125])


def test_refinements_are_made_once_and_are_those_of_their_option(tmp_path):
    other = replace(REFINED, id=5, refinements=REFINED.refinements[:1])
    make_bundle(tmp_path, options=(REFINED, other, ALONE), **REFINED_FILES)
    bundle = Bundle.open(tmp_path, "device")
    assert bundle.refinements(REFINED) is bundle.refinements(bundle.option(4))
    (refinement,) = bundle.refinements(other)
    assert peek(refinement.encode(bundle.coding(other).blank())).option_id == 5


def test_options_that_refine_alike_share_the_coders(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("wire.bundle.refinement_coder", lambda *of: made.append(of) or refinement_coder(*of))
    other = replace(REFINED, id=5, refinements=REFINED.refinements[:1])
    make_bundle(tmp_path, options=(REFINED, other, ALONE), **REFINED_FILES)
    bundle = Bundle.open(tmp_path, "cluster")
    assert [len(bundle.refinements(option)) for option in (REFINED, other)] == [2, 1]
    assert len(made) == 2


def test_an_option_without_refinements_has_none(tmp_path):
    plain = [replace(SPLIT, id=6), replace(REFINED, id=7, refinements=(), cluster_graph="tail2.onnx")]
    make_bundle(tmp_path, options=(*plain, ALONE), **RANS_FILES, **{"tail2.onnx": b""})
    bundle = Bundle.open(tmp_path, "cluster")
    assert [bundle.refinements(option) for option in plain] == [(), ()]


def test_an_option_that_sends_nothing_has_no_refinements(directory):
    assert Bundle.open(directory, "device").refinements(ALONE) == ()


UNUSABLE = [
    b"",
    b"not numpy",
    npy(np.ones((2, 5), np.uint16)),
    npy(np.ones((3, 5))),
    npy(np.zeros((3, 5), np.uint16)),
    npy(np.array([{"pickled": 1}])),
    npz(np.ones((3, 5), np.uint16)),
    npy(np.ones((3, 5), np.uint16))[:-1],
    npy(np.ones((3, 5), np.uint16)).replace(b"(3, 5)", b"(3,9**"),
    npy(np.ones((3, 5), np.uint16)).replace(b"(3, 5), }    ", b"(9999999,99999999)}"[:13]),
    npy(np.ones((30, 50), np.uint16)).replace(b"(30, 50)", b"(30,5e9)"),
]


@pytest.mark.parametrize("tables", UNUSABLE, ids=range(11))
def test_tables_that_cannot_be_used_are_refused(tmp_path, tables):
    make_bundle(tmp_path, **{"tables.npy": tables})
    bundle = Bundle.open(tmp_path, "device")
    with pytest.raises(BundleError):
        bundle.coding(SPLIT)


@pytest.mark.parametrize(
    "gains",
    [
        *UNUSABLE,
        npy(np.ones((2, 3))),
        npy(np.ones((2, 4), np.float32)),
        npy(np.ones((3, 2), np.float32)),
        npy(np.ones(6, np.float32)),
        npy(np.array([[1, 1, 1], [1, 0, 1]], np.float32)),
        npy(np.array([[1, 1, 1], [1, -1, 1]], np.float32)),
        npy(np.array([[1, np.inf, 1], [1, 1, 1]], np.float32)),
        npy(np.array([[1, np.nan, 1], [1, 1, 1]], np.float32)),
    ],
    ids=range(19),
)
@pytest.mark.parametrize("file", ["gains.npy", "rans.npy"])
def test_gains_and_rans_tables_that_cannot_be_used_are_refused(tmp_path, file, gains):
    option = replace(SPLIT, coder="rans", gains="gains.npy", tables="rans.npy")
    make_bundle(tmp_path, options=(option, ALONE), **{**RANS_FILES, file: gains})
    bundle = Bundle.open(tmp_path, "device")
    with pytest.raises(BundleError):
        bundle.coding(option)


def test_rans_tables_of_other_channels_are_refused(tmp_path):
    option = replace(SPLIT, coder="rans", gains="gains.npy", tables="rans.npy")
    make_bundle(tmp_path, options=(option, ALONE), **{**RANS_FILES, "rans.npy": npy(rans_tables(channels=4))})
    with pytest.raises(BundleError, match="4 channels for 3"):
        Bundle.open(tmp_path, "device").coding(option)


@pytest.mark.parametrize(
    ("file", "data"),
    [
        *((file, data) for file in ("finer.npy", "gains1.npy", "gains2.npy") for data in UNUSABLE),
        ("finer.npy", npy(rans_tables(channels=4))),
        ("finer.npy", npy(rans_tables()[..., 1:])),
        ("gains1.npy", npy(np.ones((2, 4), np.float32))),
        ("gains1.npy", npy(np.full((2, 3), 100, np.float32))),
        ("gains2.npy", npy(np.full((2, 3), 0.001, np.float32))),
    ],
    ids=range(38),
)
def test_refinements_whose_files_cannot_be_used_are_refused_and_the_first_look_is_not(tmp_path, file, data):
    make_bundle(tmp_path, options=(REFINED, ALONE), **{**REFINED_FILES, file: data})
    bundle = Bundle.open(tmp_path, "device")
    for _ in range(2):
        with pytest.raises(BundleError) as caught:
            bundle.refinements(REFINED)
        assert caught.value.mend
    bundle.coding(REFINED).encode(bundle.coding(REFINED).blank())


def test_an_option_that_sends_nothing_has_no_coding(directory):
    with pytest.raises(BundleError, match="sends nothing"):
        Bundle.open(directory, "device").coding(ALONE)


def test_labels_that_are_not_text_are_refused(tmp_path):
    make_bundle(tmp_path, **{"labels.txt": b"\xff\n"})
    with pytest.raises(BundleError, match="labels"):
        Bundle.open(tmp_path, "device").labels()


def test_an_empty_file_of_labels_has_none(tmp_path):
    make_bundle(tmp_path, **{"labels.txt": b""})
    assert Bundle.open(tmp_path, "device").labels() == ()
