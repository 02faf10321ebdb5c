from dataclasses import replace

import numpy as np
import pytest
import torch

from cluster.codecs.bottlenet import BottleNet, BottleNetSetting
from cluster.codecs.weights import (
    SHIPPED,
    CodecKey,
    load_codec,
    load_measured,
    save_codec,
    save_measured,
    shipped_keys,
)
from wire.errors import CheckpointError
from wire.huffman import HuffmanCoder
from wire.manifest import Measured

SHAPE = (6, 4, 4)
KEY = CodecKey("net", "blocks.3", "bottlenet", "c4-s2")
TABLES = np.arange(4 * 256, dtype=np.uint16).reshape(4, 256) * 60 + 1
MEASURED = Measured(
    dataset="pictures", pictures=8, top1=0.5, top1_drop=0.125, agreement=0.75, bytes_mean=99.5, bytes_p95=120.0
)


@pytest.fixture
def codec():
    torch.manual_seed(1)
    return BottleNet(SHAPE, BottleNetSetting(4, 2)).eval()


def test_a_codec_survives_the_way_to_disk_and_back_with_its_convolutions_as_float16(tmp_path, codec):
    codec.encoder.channel_reduction[1].running_var[:2] = torch.tensor([1e6, 1e-9])  # neither fits float16
    path = save_codec(tmp_path, KEY, codec, TABLES)
    loaded = load_codec(tmp_path, KEY, SHAPE)
    assert loaded.key == KEY
    assert not loaded.module.training
    assert path == tmp_path / "net" / "blocks.3.bottlenet-c4-s2.safetensors"
    given = codec.state_dict()
    for name, tensor in loaded.module.state_dict().items():
        convolution = name.endswith("weight") and given[name].dim() == 4
        wanted = given[name].half().float() if convolution else given[name]
        assert torch.equal(tensor, wanted), name
        assert tensor.dtype == given[name].dtype
    np.testing.assert_array_equal(loaded.tables, TABLES)
    assert loaded.tables.dtype == np.uint16


def test_nothing_but_the_codec_is_left_after_it_was_saved(tmp_path, codec):
    path = save_codec(tmp_path, KEY, codec, TABLES)
    save_codec(tmp_path, KEY, codec, TABLES)
    assert list(path.parent.iterdir()) == [path]


def test_a_codec_that_cannot_be_written_leaves_the_old_one(tmp_path, codec, monkeypatch):
    path = save_codec(tmp_path, KEY, codec, TABLES)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluster.codecs.weights.os.replace", full)
    with pytest.raises(CheckpointError, match="No space left") as caught:
        save_codec(tmp_path, KEY, codec, TABLES + 1)
    assert caught.value.mend
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_codec_is_refused_with_the_command_that_trains_it(tmp_path):
    with pytest.raises(CheckpointError, match="no trained codec") as caught:
        load_codec(tmp_path, KEY, SHAPE)
    assert "isthmus train --backbone net --point blocks.3 --setting c4-s2" in caught.value.mend


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no safetensors at all"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
    ],
    ids=["empty", "garbage", "truncated"],
)
def test_a_damaged_codec_is_refused_with_the_command_that_trains_it(tmp_path, codec, damage):
    damage(save_codec(tmp_path, KEY, codec, TABLES))
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load_codec(tmp_path, KEY, SHAPE)
    assert "isthmus train" in caught.value.mend


def test_a_codec_of_another_shape_is_refused(tmp_path, codec):
    save_codec(tmp_path, KEY, codec, TABLES)
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load_codec(tmp_path, KEY, (7, 4, 4))
    assert "isthmus train" in caught.value.mend


def test_the_codecs_of_a_backbone_are_found_by_what_they_say_of_themselves(tmp_path, codec):
    other = replace(KEY, point="blocks.1")
    for key in (KEY, other, replace(KEY, backbone="another")):
        save_codec(tmp_path, key, codec, TABLES)
    assert shipped_keys(tmp_path, "net") == [other, KEY]


def test_a_backbone_without_codecs_is_refused_with_a_mend(tmp_path):
    with pytest.raises(CheckpointError, match="no codec of net") as caught:
        shipped_keys(tmp_path, "net")
    assert "isthmus train" in caught.value.mend


def test_every_codec_that_ships_loads_at_its_point_and_has_usable_tables(lite0_cuts):
    for key in shipped_keys(SHIPPED, "efficientnet-lite0"):
        codec = load_codec(SHIPPED, key, lite0_cuts.point(key.point).shape)
        assert codec.tables.shape == (codec.module.symbol_shape[0], 256)
        assert HuffmanCoder(codec.tables).tables == codec.module.symbol_shape[0]


def test_a_measurement_is_read_back_for_what_it_was_taken_of(tmp_path, codec):
    save_codec(tmp_path, KEY, codec, TABLES)
    path = save_measured(tmp_path, KEY, "subject", MEASURED)
    assert path.name == "blocks.3.bottlenet-c4-s2.json"
    assert load_measured(tmp_path, KEY, "subject") == MEASURED


def test_a_measurement_of_other_weights_is_refused_with_the_command_that_measures(tmp_path, codec):
    save_codec(tmp_path, KEY, codec, TABLES)
    save_measured(tmp_path, KEY, "subject", MEASURED)
    with pytest.raises(CheckpointError, match="other weights") as caught:
        load_measured(tmp_path, KEY, "another subject")
    assert "isthmus" in caught.value.mend


def test_what_was_never_measured_is_refused_with_the_command_that_measures(tmp_path):
    with pytest.raises(CheckpointError, match="nothing was measured") as caught:
        load_measured(tmp_path, KEY, "subject")
    assert "isthmus" in caught.value.mend


def test_a_damaged_file_is_no_trained_codec(tmp_path, codec):
    path = save_codec(tmp_path, KEY, codec, TABLES)
    path.write_bytes(b"nothing")

    with pytest.raises(CheckpointError, match="no trained codec"):
        shipped_keys(tmp_path, KEY.backbone)


def test_equal_weights_give_equal_files(tmp_path, codec):
    files = {save_codec(tmp_path / str(number), KEY, codec, TABLES).read_bytes() for number in range(4)}

    assert len(files) == 1


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"subject_sha256": "x", "measured": {"top1": 1}}'])
def test_a_damaged_record_is_no_measurement(tmp_path, text):
    path = KEY.path(tmp_path).with_suffix(".json")
    path.parent.mkdir(parents=True)
    path.write_text(text)

    with pytest.raises(CheckpointError, match="no record"):
        load_measured(tmp_path, KEY, "x")
