import contextlib
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.errors import BundleError
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
    load_manifest,
)
from wire.records import to_plain
from wire.tensor_form import TensorForm

bounded = settings(derandomize=True, deadline=None, max_examples=100)

SHA = "ab" * 32
MEASURED = Measured(
    dataset="pictures",
    pictures=100,
    top1=0.875,
    top1_drop=-0.01,
    top5=0.97,
    top5_drop=0.02,
    agreement=0.96,
    bytes_mean=480.5,
    bytes_p95=610.0,
)
SPLIT = Option(
    id=0,
    point="features.5",
    codec="learned",
    rate="q2",
    coder="huffman",
    shape=(12, 14, 14),
    device_graph="device/0.onnx",
    cluster_graph="cluster/0.onnx",
    tables="tables/0.npy",
    gains=None,
    quality=None,
    macs=Macs(1, 2, 3, 4),
    measured=MEASURED,
)
JPEG = replace(
    SPLIT,
    id=1,
    point="input",
    codec="jpeg",
    rate="85",
    coder="jpeg",
    shape=(3, 224, 224),
    device_graph=None,
    cluster_graph="cluster/1.onnx",
    tables=None,
    quality=85,
)
RANS = replace(SPLIT, id=3, coder="rans", gains="gains/0.npy")
FLOAT32 = replace(SPLIT, id=3, cluster_graph="cluster/2.onnx", coder="float32", tables=None)
RAW = replace(JPEG, id=3, coder="raw", quality=None)
PNG = replace(SPLIT, id=3, coder="png", tables=None)
WEBP = replace(PNG, coder="webp", quality=90)
ALONE = replace(
    SPLIT,
    id=2,
    point="output",
    codec="none",
    rate="full",
    coder="none",
    shape=(1, 1, 1),
    device_graph="device/2.onnx",
    cluster_graph=None,
    tables=None,
)
FILES = (
    FileEntry("device/0.onnx", SHA, 10, "device"),
    FileEntry("device/2.onnx", SHA, 10, "both"),
    FileEntry("cluster/0.onnx", SHA, 10, "cluster"),
    FileEntry("cluster/1.onnx", SHA, 10, "both"),
    FileEntry("cluster/2.onnx", SHA, 10, "cluster"),
    FileEntry("tables/0.npy", SHA, 10, "both"),
    FileEntry("gains/0.npy", SHA, 10, "both"),
    FileEntry("labels.txt", SHA, 10, "both"),
)
MANIFEST = Manifest(
    schema=MANIFEST_SCHEMA,
    backbone="lite0",
    created_by="isthmus 0.1.0",
    input=Input(224, 224, 256),
    labels="labels.txt",
    baseline_top1=0.892,
    options=(SPLIT, JPEG, ALONE),
    files=FILES,
)
PLAIN = json.loads(dump_manifest(MANIFEST))


def as_json(plain):
    return json.dumps(plain).encode()


def with_option(option):
    return replace(MANIFEST, options=(option, JPEG, ALONE))


def with_file(entry):
    return replace(MANIFEST, files=(*FILES, entry))


def test_a_manifest_survives_the_way_to_disk_and_back():
    data = dump_manifest(MANIFEST)
    assert load_manifest(data) == MANIFEST
    assert dump_manifest(load_manifest(data)) == data
    assert data.startswith(b'{\n "backbone": "lite0",\n')
    assert data.endswith(b"}\n")


@pytest.mark.parametrize(
    "option",
    [
        RANS,
        FLOAT32,
        RAW,
        replace(RAW, coder="png"),
        replace(JPEG, id=3, coder="webp"),
        PNG,
        WEBP,
        replace(PNG, coder="raw"),
        replace(PNG, coder="jpeg", quality=30),
        replace(SPLIT, id=3),
        replace(JPEG, id=3, device_graph="device/0.onnx", shape=(3, 7, 9), cluster_graph="cluster/2.onnx"),
    ],
)
def test_an_option_of_every_coder_is_written_and_read_beside_others_of_its_graphs(option):
    others = (JPEG, ALONE) if option.coder == "rans" else (SPLIT, JPEG, ALONE)
    manifest = replace(MANIFEST, options=(*others, option))
    assert load_manifest(dump_manifest(manifest)) == manifest


def test_frames_may_be_larger_than_a_byte_counts():
    options = [replace(option, id=number, shape=(3, 260, 300)) for number, option in enumerate((JPEG, JPEG))]
    options[1] = replace(options[1], coder="raw", quality=None)
    manifest = replace(MANIFEST, input=Input(260, 300, 320), options=tuple(options))
    assert load_manifest(dump_manifest(manifest)) == manifest


def test_options_that_give_one_cluster_graph_different_tensors_are_refused():
    real = replace(RANS, cluster_graph=SPLIT.cluster_graph)
    for other in (real, replace(SPLIT, id=3, shape=(12, 14, 13)), replace(JPEG, id=3, cluster_graph="cluster/0.onnx")):
        with pytest.raises(BundleError, match=r"options 0 and 3 share 'cluster/0\.onnx'"):
            dump_manifest(replace(MANIFEST, options=(SPLIT, other)))


def test_the_form_says_what_the_cluster_graph_takes():
    assert SPLIT.form == PNG.form == TensorForm("symbols", "uint8", (12, 14, 14))
    assert RANS.form == FLOAT32.form == TensorForm("symbols", "float32", (12, 14, 14))
    assert JPEG.form == RAW.form == TensorForm("pixels", "uint8", (224, 224, 3))
    assert RAW.form.planes == (3, 224, 224)
    assert (RANS.form.size_bytes, RAW.form.size_bytes) == (4 * 12 * 14 * 14, 3 * 224 * 224)


def test_equal_manifests_have_equal_bytes_however_their_numbers_were_written():
    measured = replace(MEASURED, bytes_p95=610)
    assert dump_manifest(with_option(replace(SPLIT, measured=measured))) == dump_manifest(MANIFEST)


def test_the_digest_is_the_sha256_of_the_bytes():
    assert digest_of(b"manifest") == hashlib.sha256(b"manifest").hexdigest()


@pytest.mark.parametrize(
    "bad",
    [
        with_option(replace(SPLIT, id=1)),
        with_option(replace(SPLIT, tables=None)),
        with_option(replace(SPLIT, device_graph=None)),
        with_option(replace(SPLIT, cluster_graph=None)),
        with_option(replace(SPLIT, quality=50)),
        with_option(replace(SPLIT, gains="gains/0.npy")),
        with_option(replace(RANS, gains=None)),
        with_option(replace(RANS, gains="absent.npy")),
        with_option(replace(RANS, gains="device/0.onnx")),
        with_option(replace(RANS, tables=None)),
        with_option(replace(RANS, device_graph=None)),
        with_option(replace(RANS, quality=50)),
        with_option(replace(FLOAT32, device_graph=None)),
        with_option(replace(FLOAT32, tables="tables/0.npy")),
        with_option(replace(FLOAT32, cluster_graph=None)),
        with_option(replace(FLOAT32, shape=(6, 256, 256))),
        with_option(replace(FLOAT32, shape=(65, 256, 256))),
        with_option(replace(RAW, point="features.5")),
        with_option(replace(RAW, shape=(3, 224, 223))),
        with_option(replace(RAW, quality=50)),
        with_option(replace(RAW, cluster_graph=None)),
        with_option(replace(RAW, device_graph="device/0.onnx", cluster_graph="cluster/2.onnx", shape=(24, 256, 256))),
        with_option(replace(PNG, quality=50)),
        with_option(replace(PNG, gains="gains/0.npy")),
        with_option(replace(WEBP, quality=None)),
        with_option(replace(WEBP, tables="tables/0.npy")),
        with_option(replace(SPLIT, id=3, shape=(12, 14, 13), cluster_graph="cluster/1.onnx")),
        with_option(replace(SPLIT, shape=(65, 256, 256))),
        with_option(replace(SPLIT, device_graph="absent.onnx")),
        with_option(replace(SPLIT, cluster_graph="device/0.onnx")),
        with_option(replace(SPLIT, device_graph="cluster/0.onnx")),
        with_option(replace(SPLIT, tables="device/0.onnx")),
        with_option(replace(SPLIT, shape=(65537, 1, 1))),
        with_option(replace(JPEG, id=3, shape=(1, 224, 224))),
        with_option(replace(JPEG, id=3, quality=None)),
        with_option(replace(JPEG, id=3, quality=0)),
        with_option(replace(JPEG, id=3, cluster_graph=None)),
        with_option(replace(JPEG, id=3, tables="tables/0.npy")),
        with_option(replace(JPEG, id=3, point="features.5")),
        with_option(replace(JPEG, id=3, shape=(3, 160, 224))),
        with_option(replace(ALONE, id=3, shape=(1, 1, 2))),
        with_option(replace(ALONE, id=3, device_graph=None)),
        with_option(replace(ALONE, id=3, cluster_graph="cluster/0.onnx")),
        replace(MANIFEST, labels="absent.txt"),
        replace(MANIFEST, input=Input(224, 224, 200)),
        with_file(FILES[0]),
        with_file(FileEntry("manifest.json", SHA, 10, "both")),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_neither_written_nor_read(bad):
    with pytest.raises(BundleError) as written:
        dump_manifest(bad)
    assert written.value.mend
    with pytest.raises(BundleError) as read:
        load_manifest(as_json(to_plain(bad)))
    assert str(read.value) == str(written.value)


REFINEMENT = Refinement(0.25, "tables/1.npy", "gains/1.npy")
REFINED = replace(RANS, refinements=(REFINEMENT, replace(REFINEMENT, lead=0.125)))


def with_refined(option, *, tables="both", gains="both"):
    """An option, and the files of ``REFINEMENT`` on the sides that are said, if any."""
    sides = {"tables/1.npy": tables, "gains/1.npy": gains}
    files = (FileEntry(path, SHA, 10, side) for path, side in sides.items() if side)
    return replace(MANIFEST, options=(option, JPEG, ALONE), files=(*FILES, *files))


def test_an_option_may_name_refinements_and_says_how_many_looks_a_frame_took():
    manifest = with_refined(replace(REFINED, measured=replace(MEASURED, looks_mean=1.5)))
    assert load_manifest(dump_manifest(manifest)) == manifest
    options = json.loads(dump_manifest(manifest))["options"]
    assert [option["refinements"] for option in options] == [
        [
            {"lead": 0.25, "tables": "tables/1.npy", "gains": "gains/1.npy"},
            {"lead": 0.125, "tables": "tables/1.npy", "gains": "gains/1.npy"},
        ], [], [],
    ]  # fmt: skip
    assert [option["measured"]["looks_mean"] for option in options] == [1.5, 1.0, 1.0]


def test_a_frame_has_three_refinements_at_most():
    for number in range(4):
        manifest = with_refined(replace(RANS, refinements=(REFINEMENT,) * number))
        assert load_manifest(dump_manifest(manifest)) == manifest
    with pytest.raises(BundleError, match=r"options\[0\]\.refinements"):
        dump_manifest(with_refined(replace(RANS, refinements=(REFINEMENT,) * 4)))


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        *(
            (with_refined(replace(option, refinements=(REFINEMENT,))), f"has the coder {option.coder} and cannot have")
            for option in (SPLIT, FLOAT32, RAW, JPEG, PNG, WEBP, ALONE)
        ),
        (with_refined(replace(RANS, refinements=(replace(REFINEMENT, lead=0.0),))), "option 3 has .* the lead 0"),
        (with_refined(replace(RANS, refinements=(REFINEMENT, replace(REFINEMENT, lead=0.0)))), "the lead 0"),
        (with_refined(REFINED, tables=None), r"option 3 needs 'tables/1\.npy', which is not among the files"),
        (with_refined(REFINED, gains=None), r"option 3 needs 'gains/1\.npy', which is not among the files"),
        (with_refined(REFINED, tables="device"), r"'tables/1\.npy' on the side 'both', .* to 'device'"),
        (with_refined(REFINED, tables="cluster"), r"'tables/1\.npy' on the side 'both', .* to 'cluster'"),
        (with_refined(REFINED, gains="device"), r"'gains/1\.npy' on the side 'both', .* to 'device'"),
        (with_refined(REFINED, gains="cluster"), r"'gains/1\.npy' on the side 'both', .* to 'cluster'"),
        (
            with_refined(replace(RANS, refinements=(REFINEMENT, replace(REFINEMENT, gains="absent.npy")))),
            r"needs 'absent\.npy'",
        ),
    ],
)
def test_refinements_that_cannot_be_sent_or_read_are_neither_written_nor_read(bad, fault):
    with pytest.raises(BundleError, match=fault) as written:
        dump_manifest(bad)
    assert written.value.mend
    with pytest.raises(BundleError, match=fault):
        load_manifest(as_json(to_plain(bad)))


@pytest.mark.parametrize(
    ("refinement", "field"),
    [
        ({"lead": 1.5}, r"\.lead"),
        ({"lead": -0.1}, r"\.lead"),
        ({"lead": float("nan")}, r"\.lead"),
        ({"tables": ""}, r"\.tables"),
        ({"tables": None}, r"\.tables"),
        ({"gains": ""}, r"\.gains"),
        ({"gains": None}, r"\.gains"),
        ({"option": 4}, ""),
    ],
)
def test_a_refinement_has_a_lead_that_is_a_fraction_and_two_files(refinement, field):
    plain = json.loads(dump_manifest(with_refined(REFINED)))
    plain["options"][0]["refinements"][1].update(refinement)
    with pytest.raises(BundleError, match=rf"options\[0\]\.refinements\[1\]{field}"):
        load_manifest(as_json(plain))


@pytest.mark.parametrize("refinements", [None, 4, {}, [4], [None], [{}], [{"lead": 0.5, "tables": "tables/1.npy"}]])
def test_what_are_no_refinements_is_refused(refinements):
    plain = json.loads(dump_manifest(with_refined(REFINED)))
    plain["options"][0]["refinements"] = refinements
    with pytest.raises(BundleError, match=r"options\[0\]\.refinements"):
        load_manifest(as_json(plain))


@pytest.mark.parametrize("looks_mean", [0.99, 4.01, float("inf"), None, "1"])
def test_a_frame_takes_between_one_look_and_four(looks_mean):
    plain = json.loads(dump_manifest(with_refined(REFINED)))
    for whole in (1.0, 4.0):
        plain["options"][0]["measured"]["looks_mean"] = whole
        assert load_manifest(as_json(plain)).options[0].measured.looks_mean == whole
    plain["options"][0]["measured"]["looks_mean"] = looks_mean
    with pytest.raises(BundleError, match="looks_mean"):
        load_manifest(as_json(plain))


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../x", "/x", "a//x", "a/", ".", "./x", "", "a\\x", "C:x", "a\x00x", "a\nx", "..", "\u202ex"],
)
def test_a_path_that_could_leave_the_bundle_is_refused(path):
    plain = {**PLAIN, "files": [*PLAIN["files"], {**PLAIN["files"][0], "path": path}]}
    with pytest.raises(BundleError):
        load_manifest(as_json(plain))


def test_two_options_of_one_id_are_refused_when_read():
    plain = {**PLAIN, "options": [PLAIN["options"][0]] * 2}
    with pytest.raises(BundleError, match="two options have the id 0"):
        load_manifest(as_json(plain))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\xfa",
        b"[" * 100_000,
        b'{"schema": 1}',
        b'{"schema": ' + b"9" * 5000 + b"}",
        as_json({**PLAIN, "schema": "1"}),
        as_json({**PLAIN, "schema": True}),
        as_json({**PLAIN, "extra": 1}),
        as_json({**PLAIN, "baseline_top1": float("nan")}),
        as_json({**PLAIN, "baseline_top1": 1.5}),
        as_json({**PLAIN, "backbone": "\ud800"}),
        as_json({**PLAIN, "options": [{**PLAIN["options"][0], "shape": [1, 1]}]}),
        as_json({**PLAIN, "options": [{**PLAIN["options"][0], "coder": "range"}]}),
        as_json({**PLAIN, "options": PLAIN["options"] * 400}),
        as_json({**PLAIN, "files": [{**PLAIN["files"][0], "sha256": "00"}]}),
        b" " * (MAX_MANIFEST_BYTES + 1),
    ],
    ids=range(19),
)
def test_what_is_no_manifest_is_refused_with_a_way_to_mend_it(data):
    with pytest.raises(BundleError) as caught:
        load_manifest(data)
    assert caught.value.mend


def test_another_schema_is_told_apart_from_damage():
    with pytest.raises(BundleError, match=r"schema 1 and this Isthmus reads schema 4 \(install"):
        load_manifest(b'{"schema": 1, "old": []}')


def test_an_error_names_the_field_and_keeps_its_cause():
    macs = {**PLAIN["options"][0]["macs"], "tail": -1}
    plain = {**PLAIN, "options": [{**PLAIN["options"][0], "macs": macs}]}
    with pytest.raises(BundleError, match=r"manifest\.options\[0\]\.macs\.tail") as caught:
        load_manifest(as_json(plain))
    assert caught.value.__cause__ is not None


def test_a_manifest_over_its_size_is_not_written():
    options = tuple(
        replace(SPLIT, id=number, point="é" * 128, codec="é" * 128, rate="é" * 128) for number in range(1000)
    )
    files = (*FILES, *(FileEntry(f"{'é' * 200}{number}", SHA, 1, "both") for number in range(3900)))
    with pytest.raises(BundleError, match="bytes"):
        dump_manifest(replace(MANIFEST, options=options, files=files))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@bounded
@given(st.sampled_from(sorted(PLAIN)), json_values)
def test_any_value_in_any_field_loads_or_raises_a_bundle_error(field, value):
    with contextlib.suppress(BundleError):
        load_manifest(as_json({**PLAIN, field: value}))


@bounded
@given(st.binary(max_size=100))
def test_any_bytes_raise_a_bundle_error(data):
    with pytest.raises(BundleError):
        load_manifest(data)
