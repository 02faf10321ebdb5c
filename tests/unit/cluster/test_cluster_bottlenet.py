import pytest
import torch

from cluster.codecs.bottlenet import BottleNet, BottleNetSetting
from cluster.codecs.tiled_jpeg import through_jpeg
from cluster.training.coder_tables import entropy_bits
from wire.errors import SettingError

SHAPE = (12, 8, 8)


def features(count=3, scale=1.0):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(4)) * scale


@pytest.fixture
def codec():
    torch.manual_seed(2)
    return BottleNet(SHAPE, BottleNetSetting(5, 2)).eval()


@pytest.mark.parametrize(("stride", "side"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_the_symbols_have_the_shape_that_the_setting_says(stride, side):
    codec = BottleNet(SHAPE, BottleNetSetting(5, stride)).eval()
    symbols = codec.encoder(features())
    assert codec.symbol_shape == (5, side, side)
    assert (symbols.shape, symbols.dtype) == ((3, 5, side, side), torch.uint8)
    restored = codec.decoder(symbols)
    assert (restored.shape, restored.dtype) == ((3, *SHAPE), torch.float32)


def test_features_far_out_of_range_are_clipped_and_do_not_wrap_round(codec):
    with torch.inference_mode():
        levels = codec.encoder.quantised(features(scale=1e4))
        symbols = codec.encoder(features(scale=1e4))
    assert (float(levels.min()), float(levels.max())) == (0.0, 255.0)
    assert torch.equal(symbols.float(), levels)


def test_training_and_the_exported_encoder_give_the_same_integers(codec):
    with torch.inference_mode():
        levels = codec.encoder.quantised(features())
        assert torch.equal(levels.round(), levels)
        assert torch.equal(codec.encoder(features()).float(), levels)
        assert torch.equal(codec(features()), codec.decoder(codec.encoder(features())))


def test_gradients_pass_through_the_quantiser(codec):
    given = features().requires_grad_()
    codec.train()(given).square().sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_the_range_follows_the_features_in_training_and_only_while_it_is_told_to(codec):
    codec.train()
    before = codec.encoder.maximum.clone()
    codec.encoder.tracks_range = False
    codec(features())
    assert torch.equal(codec.encoder.maximum, before)
    codec.encoder.tracks_range = True
    codec(features())
    assert not torch.equal(codec.encoder.maximum, before)
    codec.eval()
    settled = codec.encoder.maximum.clone()
    codec(features())
    assert torch.equal(codec.encoder.maximum, settled)


def test_a_dead_channel_does_not_divide_by_nothing(codec):
    codec.train()
    for _ in range(300):
        codec.encoder._track(torch.zeros(1, 5, 4, 4))
    assert codec.encoder.maximum.min() > 0
    assert torch.isfinite(codec(features())).all()


def test_the_quantiser_is_equation_1_with_the_greatest_value_of_each_channel(codec):
    codec.encoder.maximum.fill_(2.0)
    reduced = torch.tensor([0.0, 1.0, 2.0, 3.0, 2.0 / 255, 0.9 / 255]).expand(1, 5, 1, -1)
    assert codec.encoder._scaled(reduced).round()[0, 0, 0].tolist() == [0, 128, 255, 255, 1, 0]


def test_a_codec_without_a_quality_is_offered_at_some_and_one_with_a_quality_at_its_own():
    naive, aware = (BottleNet(SHAPE, BottleNetSetting(5, 2, quality)).rates for quality in (None, 60))
    assert [(rate.name, rate.coder, rate.quality) for rate in naive] == [
        ("huffman", "huffman", None), ("jpeg-q50", "jpeg", 50), ("jpeg-q75", "jpeg", 75), ("jpeg-q95", "jpeg", 95),
    ]  # fmt: skip
    assert [rate.name for rate in aware] == ["huffman", "jpeg-q60"]


def test_jpeg_is_lossy_forward_and_the_identity_backward():
    levels = torch.randint(0, 256, (2, 5, 4, 4), generator=torch.Generator().manual_seed(1)).float().requires_grad_()
    decoded = through_jpeg(levels, 50)
    weights = torch.randn(levels.shape)
    (decoded * weights).sum().backward()
    assert torch.equal(decoded, decoded.round())
    assert 0 < (decoded - levels).abs().mean() < 60
    assert torch.equal(levels.grad, weights)


def test_a_flat_picture_passes_jpeg_as_it_is():
    levels = torch.full((1, 4, 8, 8), 77.0)
    assert torch.equal(through_jpeg(levels, 95), levels)


def test_a_codec_trained_through_jpeg_restores_what_jpeg_left():
    torch.manual_seed(2)
    codec = BottleNet(SHAPE, BottleNetSetting(5, 2, 30)).eval()
    with torch.inference_mode():
        levels = codec.encoder.quantised(features())
        assert torch.equal(codec.quantised(features()), through_jpeg(levels, 30))
        assert torch.equal(codec(features()), codec.restore(through_jpeg(levels, 30)))


@pytest.mark.parametrize("text", ["c8-s2", "c1-s1", "c9999-s99", "c8-s2-q1", "c8-s2-q100"])
def test_a_setting_is_read_as_it_is_written(text):
    assert str(BottleNetSetting.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "c8", "c0-s1", "c8-s0", "c8-s2 ", "C8-S2", "c8-s2-x", "c-8-s2", "c10000-s1", "8x2", "c8-s2-q0", "c8-s2-q101"],
)
def test_what_is_no_setting_is_refused_with_an_example(text):
    with pytest.raises(SettingError) as caught:
        BottleNetSetting.parse(text)
    assert "c8-s2" in caught.value.mend


@pytest.mark.parametrize("shape", [(12, 7, 8), (12, 8, 7), (12,), (12, 8)])
def test_a_setting_that_does_not_fit_the_tensor_is_refused(shape):
    with pytest.raises(SettingError, match="c5-s2 does not fit") as caught:
        BottleNet(shape, BottleNetSetting(5, 2))
    assert "divides" in caught.value.mend


def test_the_entropy_estimate_is_that_of_the_symbols_of_each_channel():
    still = torch.full((2, 1, 4, 4), 9)
    coin = torch.tensor([0, 255]).repeat(16).reshape(2, 1, 4, 4)
    assert entropy_bits(still, 256) == 0.0
    assert entropy_bits(torch.cat([still, coin], dim=1), 256) == pytest.approx(16)
