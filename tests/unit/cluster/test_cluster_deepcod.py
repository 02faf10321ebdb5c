import pytest
import torch
from torch import nn

from cluster.codecs.deepcod import Centres, DeepCod, DeepCodSetting

SHAPE = (6, 8, 8)


def features(count=4):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(8))


@pytest.fixture
def codec():
    torch.manual_seed(2)
    return DeepCod(SHAPE, DeepCodSetting(5, 2, 8))


@pytest.mark.parametrize("channels", [5, 200])
def test_the_regulariser_is_nothing_for_an_orthonormal_kernel_and_grows_away_from_it(channels):
    codec = DeepCod(SHAPE, DeepCodSetting(channels, 2))
    assert float(codec.regulariser().detach()) < 1e-9
    with torch.no_grad():
        codec.encoder.sensing.weight.mul_(2)
    assert float(codec.regulariser().detach()) == pytest.approx(9.0, rel=1e-3)  # (4 − 1)² a row


def test_the_regulariser_leads_back_to_an_orthonormal_kernel(codec):
    nn.init.normal_(codec.encoder.sensing.weight, std=0.1)
    optimizer = torch.optim.SGD(codec.encoder.sensing.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        codec.regulariser().backward()
        optimizer.step()
    assert float(codec.regulariser().detach()) < 1e-4


def test_a_value_becomes_the_index_of_its_nearest_centre():
    quantiser = Centres(3)
    with torch.no_grad():
        quantiser.centres.copy_(torch.tensor([4.0, -1.0, 0.0]))
    values = torch.tensor([-9.0, -0.6, -0.4, 1.9, 2.1, 9.0])
    assert quantiser(values).tolist() == [1, 1, 2, 2, 0, 0]
    assert quantiser.nearest(values).tolist() == [-1, -1, 0, 0, 4, 4]


def test_values_and_centres_learn_through_the_soft_assignment():
    quantiser = Centres(4)
    values = torch.linspace(-1.5, 1.5, 30).requires_grad_()
    quantiser.nearest(values).square().sum().backward()
    assert (values.grad != 0).all()
    assert (quantiser.centres.grad != 0).all()


def test_the_soft_assignment_is_equation_13():
    quantiser = Centres(2)  # -1 and 1: two apart
    value = torch.tensor([0.25], requires_grad=True)
    quantiser.nearest(value).sum().backward()
    exact = torch.tensor([0.25], requires_grad=True)
    left, right = torch.exp(-(exact + 1).abs()), torch.exp(-(exact - 1).abs())
    ((right - left) / (right + left)).sum().backward()
    assert torch.allclose(value.grad, exact.grad)


def test_the_centres_begin_where_the_measurements_are(codec):
    codec.calibrate(100 + 5 * features())
    measured = codec.encoder.sensing(100 + 5 * features()).detach()
    centres = codec.encoder.quantiser.centres.detach()
    assert float(centres.min()) < float(measured.mean()) < float(centres.max())
    assert len(codec.encoder(100 + 5 * features()).unique()) >= 4


def test_normalised_convolutions_have_a_spectral_norm_of_one(codec):
    codec.normalise_spectra()
    codec.train()
    for _ in range(50):
        codec(features())
    for module in codec.decoder.recovery.modules():
        if isinstance(module, nn.Conv2d):
            assert float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)) == pytest.approx(1, rel=0.05)


def test_folding_leaves_the_function_and_a_plain_state(codec):
    plain = set(codec.state_dict())
    codec.normalise_spectra()
    assert set(codec.state_dict()) != plain
    codec.eval()
    before = codec(features())
    codec.fold_spectra()
    assert set(codec.state_dict()) == plain
    assert torch.allclose(codec(features()), before, atol=1e-6)


@pytest.mark.parametrize(("text", "written"), [("c12-s2", "c12-s2-l16"), ("c12-s2-l8", "c12-s2-l8")])
def test_sixteen_centres_need_not_be_written(text, written):
    assert str(DeepCodSetting.parse(text)) == written
