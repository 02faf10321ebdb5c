import hashlib
import io
import os
from dataclasses import replace

import numpy as np
import pytest

from wire.bundle import Bundle, verify_file
from wire.errors import BundleError, UnknownOption
from wire.manifest import (
    MAX_MANIFEST_BYTES,
    FileEntry,
    Input,
    Macs,
    Manifest,
    Measured,
    Option,
    digest_of,
    dump_manifest,
)

MEASURED = Measured(dataset="d", pictures=1, top1=1.0, top1_drop=0.0, agreement=1.0, bytes_mean=1.0, bytes_p95=1.0)
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
    jpeg_quality=None,
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


def make_bundle(directory, **changes):
    contents = {**CONTENTS, **{name: (data, "both") for name, data in changes.items()}}
    for name, (data, _) in contents.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    manifest = Manifest(
        schema=1,
        backbone="b",
        created_by="test",
        input=Input(8, 8, 8),
        labels="labels.txt",
        baseline_top1=1.0,
        options=(SPLIT, ALONE, replace(SPLIT, id=5)),
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


def test_a_coder_is_made_once_and_codes(directory):
    bundle = Bundle.open(directory, "cluster")
    coder = bundle.coder(SPLIT)
    assert bundle.coder(bundle.option(5)) is coder
    assert (coder.tables, coder.alphabet) == (3, 5)
    symbols = np.array([[0, 4], [1, 3], [2, 2]], np.uint8)
    np.testing.assert_array_equal(coder.decode(coder.encode(symbols), 2), symbols)


def test_one_table_serves_any_number_of_channels(tmp_path):
    make_bundle(tmp_path, **{"tables.npy": npy(np.ones((1, 5), np.uint16))})
    assert Bundle.open(tmp_path, "device").coder(SPLIT).tables == 1


@pytest.mark.parametrize(
    "tables",
    [
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
    ],
    ids=range(11),
)
def test_tables_that_cannot_be_used_are_refused(tmp_path, tables):
    make_bundle(tmp_path, **{"tables.npy": tables})
    bundle = Bundle.open(tmp_path, "device")
    with pytest.raises(BundleError):
        bundle.coder(SPLIT)


def test_an_option_without_tables_has_no_coder(directory):
    with pytest.raises(BundleError, match="no tables"):
        Bundle.open(directory, "device").coder(ALONE)


def test_labels_that_are_not_text_are_refused(tmp_path):
    make_bundle(tmp_path, **{"labels.txt": b"\xff\n"})
    with pytest.raises(BundleError, match="labels"):
        Bundle.open(tmp_path, "device").labels()


def test_an_empty_file_of_labels_has_none(tmp_path):
    make_bundle(tmp_path, **{"labels.txt": b""})
    assert Bundle.open(tmp_path, "device").labels() == ()
