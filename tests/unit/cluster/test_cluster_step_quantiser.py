import pytest
import torch

from cluster.codecs.jalad import Jalad, JaladSetting
from cluster.codecs.step_quantiser import StepQuantiser

SHAPE = (3, 4, 4)


def sample(count=50):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(6)) * 2 + 1


@pytest.mark.parametrize("bits", range(1, 9))
def test_jalad_errs_by_half_a_step_at_most_within_the_range_it_was_calibrated_on(bits):
    codec = Jalad(SHAPE, JaladSetting(bits))
    codec.calibrate(sample())
    step = (sample().max() - sample().min()) / (2**bits - 1)
    error = (codec(sample()) - sample()).abs().max()
    assert error <= step / 2 * (1 + 1e-4)
    assert int(codec.encoder(sample()).max()) == 2**bits - 1
    assert int(codec.encoder(sample()).min()) == 0


def test_values_are_quantised_as_the_formula_says():
    quantiser = StepQuantiser(2)
    quantiser.calibrate(torch.tensor([-1.0, 2.0]).reshape(1, 1, 1, 2))
    values = torch.tensor([-9.0, -1.0, -0.6, -0.4, 0.4, 1.4, 1.6, 2.0, 9.0]).reshape(1, 1, 1, -1)
    assert quantiser(values).flatten().tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 3]
    assert quantiser.values(quantiser(values)).flatten().tolist() == [-1, -1, -1, 0, 0, 1, 2, 2, 2]


def test_a_range_of_nothing_does_not_divide_by_nothing():
    quantiser = StepQuantiser(8)
    quantiser.calibrate(torch.full((2, 3, 4, 4), 5.0))
    assert torch.isfinite(quantiser.values(quantiser(torch.full((1, 3, 4, 4), 5.0)).float())).all()


def test_each_channel_may_have_a_range_of_its_own():
    quantiser = StepQuantiser(8, channels=3)
    scaled = sample() * torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
    quantiser.calibrate(scaled)
    peaks = quantiser(scaled).amax(dim=(0, 2, 3))
    assert peaks.tolist() == [255, 255, 255]


def test_a_tracked_range_comes_nearer_with_every_batch():
    quantiser = StepQuantiser(8)
    far = []
    for _ in range(100):
        far.append(float((quantiser.high - sample().max()).abs()))
        quantiser.track(sample())
    assert far == sorted(far, reverse=True)
    assert far[-1] < 0.1


def test_half_precision_does_not_blur_the_levels():
    quantiser = StepQuantiser(8)
    levels = quantiser.straight_through(torch.linspace(0, 1, 256).reshape(1, 1, 1, -1).bfloat16())
    assert levels.dtype == torch.float32
    assert torch.equal(levels, levels.round())
