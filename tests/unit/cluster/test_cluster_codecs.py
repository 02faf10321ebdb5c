"""What holds for every codec, whatever it does."""

import numpy as np
import onnxruntime
import pytest
import torch

from cluster.bundles.graphs import _export
from cluster.codecs import compressive
from cluster.codecs.codec import LATENT_CODERS
from cluster.codecs.registry import CODEC_NAMES, build_codec
from cluster.training.coder_tables import coder_tables
from wire.errors import SettingError
from wire.huffman import HuffmanCoder

SHAPE = (6, 8, 8)
SETTINGS = [
    ("bottlenet", "c4-s2", (4, 4, 4)),
    ("bottlenet", "c4-s1-q75", (4, 8, 8)),
    ("deepcod", "c4-s1-l7", (4, 8, 8)),
    ("deepcod", "c4-s2-l16", (4, 4, 4)),
    ("deepcod", "c4-s4-l2", (4, 2, 2)),
    ("jalad", "c1", SHAPE),
    ("jalad", "c8", SHAPE),
    ("jointdnn", "8bit", SHAPE),
    ("offload", "float32", SHAPE),
    ("offload-interpolation", "s2", (6, 4, 4)),
    ("offload-interpolation", "s4", (6, 2, 2)),
    ("offload-lossy", "8bit", SHAPE),
    ("offload-compressive", "m25", (6, 16, 1)),
    ("offload-autoencoder", "c4-s1", (4, 8, 8)),
    ("offload-autoencoder", "c4-s4", (4, 2, 2)),
]
every_setting = pytest.mark.parametrize(("name", "setting", "symbol_shape"), SETTINGS)


def features(count=3, scale=1.0, shape=SHAPE):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(4)) * scale


def built(name, setting, shape=SHAPE):
    torch.manual_seed(2)
    codec = build_codec(name, setting, shape)
    codec.calibrate(features(64, shape=shape))
    return codec.eval()


def test_every_codec_is_tried_here():
    assert {name for name, _, _ in SETTINGS} == set(CODEC_NAMES) - {"isthmus"}


@every_setting
def test_a_codec_gives_what_it_promises(name, setting, symbol_shape):
    codec = built(name, setting)
    given = features(scale=3)
    with torch.inference_mode():
        symbols = codec.encoder(given)
        restored = codec.decoder(symbols)
        assert torch.allclose(codec.restore(codec.quantised(given)), codec(given))
    assert (codec.name, str(codec.setting), codec.symbol_shape) == (name, setting, symbol_shape)
    assert (symbols.shape, symbols.dtype) == ((3, *symbol_shape), codec.symbol_dtype)
    assert (restored.shape, restored.dtype) == (given.shape, torch.float32)
    assert torch.isfinite(restored).all()
    if codec.symbol_dtype == torch.uint8:
        assert int(symbols.max()) < codec.alphabet <= 256


@pytest.mark.parametrize(("name", "setting"), [each[:2] for each in SETTINGS if "-q" not in each[1]])
def test_what_training_sees_is_what_the_two_halves_do_where_no_jpeg_lies_between_them(name, setting):
    codec = built(name, setting)
    with torch.inference_mode():
        assert torch.allclose(codec(features()), codec.decoder(codec.encoder(features())), atol=1e-5)


@every_setting
def test_rates_have_names_of_their_own_and_coders_that_take_the_symbols(name, setting, symbol_shape):
    rates = built(name, setting).rates
    assert len({rate.name for rate in rates}) == len(rates) > 0
    assert len({rate.coder in LATENT_CODERS for rate in rates}) == 1
    assert all((rate.quality is not None) == (rate.coder in ("jpeg", "webp")) for rate in rates)


@every_setting
def test_gradients_reach_the_features_and_every_parameter(name, setting, symbol_shape):
    codec = built(name, setting).train()
    given = features().requires_grad_()
    codec(given).square().sum().backward()
    assert given.grad.abs().sum() > 0
    for parameter, tensor in codec.named_parameters():
        assert torch.isfinite(tensor.grad).all(), parameter


@every_setting
def test_the_tables_can_code_every_symbol_of_any_frame(name, setting, symbol_shape):
    codec = built(name, setting)
    tables = coder_tables(codec, [features(8), features(8)])
    assert set(tables) == {rate.name for rate in codec.rates if rate.coder == "huffman"}
    for array in tables.values():
        assert array.shape == (codec.symbol_shape[0], codec.alphabet)
        assert HuffmanCoder(array).alphabet > int(codec.encoder(features(scale=100)).max())


@pytest.mark.parametrize(
    ("name", "setting"),
    [("bottlenet", "c4-s2"), ("deepcod", "c4-s2-l16"), ("jalad", "c3"), ("offload", "float32"),
     ("offload-interpolation", "s2"), ("offload-compressive", "m25"), ("offload-autoencoder", "c4-s4")],
)  # fmt: skip
def test_the_exported_graphs_are_the_codec(name, setting, tmp_path, monkeypatch):
    monkeypatch.setattr(compressive, "ITERATIONS", 3)  # the exporter is slow, and every iteration is the same
    codec = built(name, setting)
    symbols = codec.encoder(features()).detach()
    _export(codec.encoder, features(1), tmp_path / "device.onnx", inputs="features", outputs="symbols", batched=False)
    _export(codec.decoder, symbols[:2], tmp_path / "cluster.onnx", inputs="symbols", outputs="features", batched=True)
    device, cluster = (onnxruntime.InferenceSession(tmp_path / f"{side}.onnx") for side in ("device", "cluster"))
    found = device.run(None, {"features": features(1).numpy()})[0]
    if codec.symbol_dtype == torch.uint8:
        apart = np.abs(found.astype(int) - symbols[:1].numpy().astype(int))
        assert apart.max() <= 1  # a value on the edge of two steps may fall to either side
        assert (apart == 0).mean() > 0.99
    else:
        np.testing.assert_allclose(found, symbols[:1].numpy(), atol=1e-5)
    restored = cluster.run(None, {"symbols": symbols.numpy()})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(restored, codec.decoder(symbols).numpy(), atol=1e-4)


@every_setting
def test_a_calibrated_codec_keeps_its_calibration_in_its_state(name, setting, symbol_shape):
    codec, fresh = built(name, setting), build_codec(name, setting, SHAPE)
    fresh.load_state_dict(codec.state_dict())
    with torch.inference_mode():
        assert torch.allclose(fresh.eval()(features()), codec(features()))


@pytest.mark.parametrize("name", CODEC_NAMES)
@pytest.mark.parametrize("text", ["", "x", "c0", "c9", "c4-s0", "c4-s3-l1", "s3", "m0", "m100", "16bit", "c4-s2 "])
def test_what_is_no_setting_of_a_codec_is_refused_with_a_mend(name, text):
    with pytest.raises(SettingError) as caught:
        build_codec(name, text, SHAPE)
    assert caught.value.mend


@pytest.mark.parametrize(("name", "setting"), [(name, setting) for name, setting, _ in SETTINGS])
@pytest.mark.parametrize("shape", [(6, 7, 11), (6, 4), (2, 6, 8, 8)])
def test_a_tensor_that_a_codec_cannot_take_is_refused_with_a_mend(name, setting, shape):
    fits_any_map = name in ("jalad", "jointdnn", "offload", "offload-lossy") or "-s1" in setting
    if len(shape) == 3 and fits_any_map:
        assert build_codec(name, setting, shape).symbol_shape[0] <= 6
        return
    with pytest.raises(SettingError, match="does not fit") as caught:
        build_codec(name, setting, shape)
    assert caught.value.mend


@pytest.mark.parametrize(("name", "setting"), [("jalad", "c4"), ("jointdnn", "8bit"), ("offload", "float32")])
def test_a_vector_is_so_many_channels_of_one_value_with_one_table_for_all(name, setting):
    codec = built(name, setting, (20,))
    with torch.inference_mode():
        restored = codec.decoder(codec.encoder(features(shape=(20,))))
    assert codec.symbol_shape == (20, 1, 1)
    assert restored.shape == (3, 20)
    assert all(array.shape == (1, 16) for array in coder_tables(codec, [features(shape=(20,))]).values())


def test_an_unknown_codec_is_refused_with_those_there_are():
    with pytest.raises(SettingError, match="abacus") as caught:
        build_codec("abacus", "c8-s2", SHAPE)
    assert all(name in caught.value.mend for name in CODEC_NAMES)
