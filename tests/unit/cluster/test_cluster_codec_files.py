from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cluster.codecs.bottlenet import BottleNet, BottleNetSetting
from cluster.codecs.codec import Codec, Rate
from cluster.codecs.deepcod import DeepCod, DeepCodSetting
from cluster.codecs.weights import SHIPPED, CodecKey, load_codec, round_as_stored, save_codec, shipped_keys
from wire.errors import CheckpointError
from wire.huffman import HuffmanCoder

SHAPE = (6, 4, 4)
KEY = CodecKey("net", "blocks.3", "bottlenet", "c4-s2")
TABLES = {"huffman": np.arange(4 * 256, dtype=np.uint16).reshape(4, 256) * 60 + 1}


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
    np.testing.assert_array_equal(loaded.rate_tables["huffman"], TABLES["huffman"])
    assert loaded.rate_tables["huffman"].dtype == np.uint16
    assert loaded.rates == codec.rates


def test_a_codec_that_was_rounded_before_it_was_saved_comes_back_as_it_was(tmp_path, codec):
    round_as_stored(codec)
    save_codec(tmp_path, KEY, codec, TABLES)
    loaded = load_codec(tmp_path, KEY, SHAPE).module.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in codec.state_dict().items())


def test_tables_gains_and_an_adapted_tail_are_kept_beside_the_weights(tmp_path, codec, monkeypatch):
    gains = np.array([[1, 2, 3, 4], [1, 0.5, 0.25, 0.125]], np.float32)
    monkeypatch.setattr(
        BottleNet, "rates", (Rate("r1", "rans", gains=gains), Rate("r2", "rans", gains=2 * gains)), raising=True
    )
    codec.tail_delta = {"blocks.5.weight": torch.full((2, 2, 1, 1), 0.5), "fc.bias": torch.arange(3.0)}
    tables = {"r1": np.ones((4, 2, 9), np.uint16), "r2": np.full((4, 2, 9), 65535, np.uint16)}
    save_codec(tmp_path, KEY, codec, tables)
    monkeypatch.setattr(BottleNet, "rates", (Rate("r1", "rans"), Rate("r2", "rans")), raising=True)
    loaded = load_codec(tmp_path, KEY, SHAPE)
    assert loaded.rate_tables.keys() == tables.keys()
    np.testing.assert_array_equal(loaded.rate_tables["r2"], tables["r2"])
    np.testing.assert_array_equal(loaded.rates[1].gains, 2 * gains)
    assert loaded.module.tail_delta.keys() == codec.tail_delta.keys()
    assert all(torch.equal(loaded.module.tail_delta[name], given) for name, given in codec.tail_delta.items())


def test_what_encoder_and_decoder_share_is_shared_again_after_loading(tmp_path):
    deepcod = DeepCod(SHAPE, DeepCodSetting(4, 2))
    key = CodecKey("net", "blocks.3", "deepcod", "c4-s2-l16")
    with torch.no_grad():
        deepcod.encoder.quantiser.centres.mul_(3)
    save_codec(tmp_path, key, deepcod, {})
    module: Codec = load_codec(tmp_path, key, SHAPE).module
    assert module.encoder.quantiser is module.decoder.quantiser
    assert torch.equal(module.encoder.quantiser.centres, deepcod.encoder.quantiser.centres)


def test_a_file_from_when_a_codec_had_one_rate_is_read_as_huffman(tmp_path, codec):
    path = save_codec(tmp_path, KEY, codec, TABLES)
    tensors = {name: tensor.half() if name != "tables.huffman" else tensor for name, tensor in load_file(path).items()}
    tensors["tables"] = tensors.pop("tables.huffman")
    save_file(tensors, path)
    loaded = load_codec(tmp_path, KEY, SHAPE)
    assert list(loaded.rate_tables) == ["huffman"]
    np.testing.assert_array_equal(loaded.rate_tables["huffman"], TABLES["huffman"])
    assert [rate.name for rate in loaded.rates] == ["huffman", "jpeg-q50", "jpeg-q75", "jpeg-q95"]
    assert {tensor.dtype for tensor in loaded.module.state_dict().values()} == {torch.float32, torch.int64}


def test_nothing_but_the_codec_is_left_after_it_was_saved(tmp_path, codec):
    path = save_codec(tmp_path, KEY, codec, TABLES)
    save_codec(tmp_path, KEY, codec, TABLES)
    assert list(path.parent.iterdir()) == [path]


def test_a_codec_that_cannot_be_written_leaves_the_old_one(tmp_path, codec, monkeypatch):
    path = save_codec(tmp_path, KEY, codec, TABLES)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluster.whole_file.os.replace", full)
    with pytest.raises(CheckpointError, match="No space left") as caught:
        save_codec(tmp_path, KEY, codec, {})
    assert caught.value.mend
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_codec_is_refused_with_the_command_that_trains_it(tmp_path):
    with pytest.raises(CheckpointError, match="no trained codec") as caught:
        load_codec(tmp_path, KEY, SHAPE)
    assert "isthmus train --backbone SPEC --point blocks.3 --codec bottlenet --setting c4-s2" in caught.value.mend
    assert "load net by" in caught.value.mend


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
        for rate in codec.rates:
            if rate.coder == "huffman":
                coder = HuffmanCoder(codec.rate_tables[rate.name])
                assert (coder.tables, coder.alphabet) == (codec.module.symbol_shape[0], codec.module.alphabet)


def test_a_damaged_file_is_no_trained_codec(tmp_path, codec):
    path = save_codec(tmp_path, KEY, codec, TABLES)
    path.write_bytes(b"nothing")

    with pytest.raises(CheckpointError, match="no trained codec"):
        shipped_keys(tmp_path, KEY.backbone)


def test_equal_weights_give_equal_files(tmp_path, codec):
    files = {save_codec(tmp_path / str(number), KEY, codec, TABLES).read_bytes() for number in range(4)}

    assert len(files) == 1
