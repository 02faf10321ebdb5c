import pytest
import torch

from cluster.codecs.compressive import Compressive, CompressiveSetting, cosine_basis, sensing_matrix

SHAPE = (3, 16, 8)


def sparse_features(coefficients, count=4):
    """Features whose blocks of 8 × 8 each hold so many cosines."""
    random = torch.Generator().manual_seed(3)
    values = torch.zeros(count, 3, 2, 1, 64)
    chosen = torch.rand(values.shape, generator=random).argsort(dim=-1)[..., :coefficients]
    values.scatter_(-1, chosen, torch.rand(chosen.shape, generator=random) + 1)
    blocks = (values @ cosine_basis(8)).reshape(count, 3, 2, 1, 8, 8)
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, *SHAPE)


def error(codec, features):
    measured = codec.encoder.measured(features)
    return float((codec.decoder.rebuilt(measured) - features).square().mean() / features.square().mean())


@pytest.mark.parametrize("side", [2, 7, 8])
def test_the_cosines_are_an_orthonormal_basis_whose_first_is_flat(side):
    basis = cosine_basis(side)
    assert torch.allclose(basis @ basis.T, torch.eye(side * side), atol=1e-5)
    assert torch.allclose(basis[0], torch.full((side * side,), 1 / side))


def test_the_sensing_matrix_has_orthonormal_rows_and_is_the_same_every_time():
    sensing = sensing_matrix(16, 64)
    assert torch.allclose(sensing @ sensing.T, torch.eye(16), atol=1e-5)
    assert torch.equal(sensing, sensing_matrix(16, 64))
    assert torch.equal(sensing, sensing_matrix(20, 64)[:16])


def test_a_signal_of_few_cosines_is_recovered_from_half_as_many_measurements():
    codec = Compressive(SHAPE, CompressiveSetting(50))
    assert error(codec, sparse_features(2)) < 0.002


def test_more_measurements_recover_more_and_all_of_them_nearly_everything():
    features = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    errors = [error(Compressive(SHAPE, CompressiveSetting(percent)), features) for percent in (10, 50, 99)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05


def test_eight_bits_a_measurement_cost_little():
    features = sparse_features(2)
    codec = Compressive(SHAPE, CompressiveSetting(50))
    codec.calibrate(features)
    restored = codec.decoder(codec.encoder(features))
    assert float((restored - features).square().mean() / features.square().mean()) < 0.01


@pytest.mark.parametrize(
    ("shape", "symbols"),
    [((4, 56, 56), (4, 16, 49)), ((4, 28, 28), (4, 12, 16)), ((4, 10, 15), (4, 6, 6)), ((4, 4, 4), (4, 4, 1))],
)
def test_the_largest_block_that_divides_the_map_is_taken(shape, symbols):
    assert Compressive(shape, CompressiveSetting(25)).symbol_shape == symbols
