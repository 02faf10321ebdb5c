import numpy as np
import pytest
import torch
from torch import nn

from cluster.codecs.isthmus import RATES, Isthmus, IsthmusSetting
from cluster.codecs.task_transform import task_transform
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Stage
from cluster.training.task_transform_recipe import TaskTransformRecipe, divergence
from wire.errors import SettingError
from wire.rans import RansCoder
from wire.rans_tables import TOTAL
from wire.refinement import RefinementCoder, slopes

SHAPE = (6, 8, 8)
ROWS = 96


def smooth_features(seed=0):
    """Feature maps as networks make them: channels that go together, and slowly changing places."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(ROWS, 3, 4, 4, generator=generator)
    mix = torch.randn(6, 3, generator=generator)
    wide = nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")
    noise = 0.05 * torch.randn(ROWS, *SHAPE, generator=generator)
    return torch.einsum("dc,nchw->ndhw", mix, wide) + noise + 2.0


@pytest.fixture(scope="module")
def fitted():
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Conv2d(6, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    codec = Isthmus(SHAPE, IsthmusSetting.parse("k8-s2-b80"))
    recipe = TaskTransformRecipe(codec, tail.eval().requires_grad_(requires_grad=False), TrainingPlan())
    features = smooth_features()
    recipe.begin(features)
    return codec, recipe.tables([features]), features


@pytest.mark.parametrize("text", ["k80-s2-b3500", "k1-s1-b10", "k8-s2-b99-c64", "k8-s2-b99-w32", "k8-s2-b99-c64-w32"])
def test_a_setting_is_read_as_it_is_written(text):
    assert str(IsthmusSetting.parse(text)) == text


@pytest.mark.parametrize("text", ["", "k0-s1-b100", "k8-s3-b100", "n8-s2-b100", "k8-s2", "k8-s2-b0", "k8-s2-b99-c0"])
def test_a_text_that_is_no_setting_is_refused(text):
    with pytest.raises(SettingError, match="no setting of isthmus"):
        IsthmusSetting.parse(text)


@pytest.mark.parametrize(
    ("shape", "setting"),
    [((6,), "k1-s1-b99"), ((6, 7, 8), "k1-s2-b99"), ((6, 8, 8), "k25-s2-b99"), ((6, 8, 8), "k8-s2-b99-c25")],
)
def test_a_setting_that_does_not_fit_the_tensor_is_refused(shape, setting):
    with pytest.raises(SettingError, match="does not fit"):
        Isthmus(shape, IsthmusSetting.parse(setting))


def test_a_whole_transform_gives_the_features_back():
    features = smooth_features()
    codec = Isthmus(SHAPE, IsthmusSetting.parse("k24-s2-b999"))
    patches = codec.patches(features)
    transform = task_transform(patches, torch.randn_like(patches))
    codec.set_transform(transform, torch.randperm(24 * 16))
    with torch.no_grad():
        restored = codec.decoder(codec.encoder(features))
    assert float((restored - features).abs().max()) < 1e-3


def test_the_transform_keeps_what_the_answer_depends_on_before_what_varies_most():
    features = torch.randn(400, 2, 1, 1) * torch.tensor([1.0, 3.0])[:, None, None]
    gradients = torch.zeros(400, 2, 1, 1)
    gradients[:, 0] = 1.0
    first = task_transform(features, gradients).channels.analysis[0, 0]
    assert abs(float(first[0])) > 1.0
    assert abs(float(first[1])) < 0.2


def test_every_rate_sends_less_than_the_one_above_it(fitted):
    codec, tables, features = fitted
    with torch.no_grad():
        latents = codec.encoder(features)
    sizes = []
    for index, rate in enumerate(codec.rates):
        coder = RansCoder(tables[rate.name])
        peaks = coder.peaks.astype(np.int8)[:, None, None]
        levels = np.clip(codec.levels(latents, index).to(torch.int8).numpy(), -peaks, peaks)
        streams = [coder.encode(frame) for frame in levels]
        height, width = levels.shape[2:]
        assert np.array_equal(coder.decode(streams[0], height, width), levels[0])
        sizes.append(np.mean([len(stream) for stream in streams]))
    assert len(sizes) == RATES
    assert sizes == sorted(sizes, reverse=True)


def test_the_tables_are_integers_that_the_coder_takes(fitted):
    codec, tables, _ = fitted
    steps = {step for looks in codec.looks for step, _, _ in looks.steps}
    assert {rate.name for rate in codec.rates} < set(tables) <= {rate.name for rate in codec.rates} | steps
    for table in tables.values():
        assert (table[..., :-1].sum(axis=-1) == TOTAL).all()


def test_more_bytes_restore_the_features_better(fitted):
    codec, _, features = fitted
    with torch.no_grad():
        latents = codec.encoder(features)
        errors = [
            float(
                (codec.restore(codec.levels(latents, rate) * codec.gains[rate, 1][:, None, None]) - features)
                .square()
                .mean()
            )
            for rate in (0, RATES - 1)
        ]
    assert errors[0] < errors[1]


def test_refinements_are_coded_by_the_tables_of_their_rates(fitted):
    codec, tables, features = fitted
    rates = [rate.name for rate in codec.rates]
    with torch.no_grad():
        latents = codec.encoder(features[:8])
        levels = {rate: codec.levels(latents, number).to(torch.int32).numpy() for number, rate in enumerate(rates)}
    steps = [step for looks in codec.looks for step in looks.steps if step[0] in tables]
    assert steps
    for step, coarse, fine in steps:
        there = (codec.gains[rates.index(rate), 0].numpy() for rate in (fine, coarse))
        coder = RefinementCoder(tables[step], slopes(*there))
        alone = RansCoder(tables[fine])
        saved = 0
        for known, wanted in zip(levels[coarse], levels[fine], strict=True):
            nearest = coder.nearest(wanted, known)
            bitstream = coder.encode(nearest, known)
            np.testing.assert_array_equal(coder.decode(bitstream, known), nearest)
            clipped = np.clip(wanted, -alone.peaks[:, None, None], alone.peaks[:, None, None]).astype(np.int8)
            saved += len(alone.encode(clipped)) - len(bitstream)
        assert saved > 0


@pytest.fixture(scope="module")
def restoring():
    """A codec with a restorer, its recipe and features; the tail is so small that a few steps train it."""
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Conv2d(6, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    codec = Isthmus(SHAPE, IsthmusSetting.parse("k8-s2-b200-w16"))
    recipe = TaskTransformRecipe(codec, tail.eval().requires_grad_(requires_grad=False), TrainingPlan(distil_epochs=3))
    features = smooth_features()
    recipe.begin(features)
    return codec, recipe, features


def test_what_is_told_of_a_frame_is_what_its_rate_says(restoring):
    codec, _, features = restoring
    rates = torch.tensor([0, 3, 5])
    told = codec.told(features[:3], rates)
    with torch.no_grad():
        latents = codec.encoder(features[:3])
    for row, rate in enumerate(rates.tolist()):
        inverse = codec.gains[rate, 1][:, None, None]
        torch.testing.assert_close(told[row], codec.levels(latents[[row]], rate)[0] * inverse)


def test_the_decoder_sees_by_the_latents_how_coarse_the_rate_is(restoring):
    codec, _, features = restoring
    for rate in range(RATES):
        told = codec.told(features, torch.full((len(features),), rate))
        wanted = codec.gains[rate, 1, 0] / codec.gains[RATES - 1, 1, 0]
        seen = codec.decoder._coarseness(told).flatten()
        spoken = ((told / codec.gains[rate, 1, 0]).round().abs() == 1).flatten(1).any(dim=1)
        torch.testing.assert_close(seen[spoken], wanted.expand(int(spoken.sum())))
    assert codec.decoder._coarseness(torch.zeros_like(told)).eq(1).all()


def test_the_restorer_does_nothing_before_it_is_trained_and_then_brings_the_answers_nearer(restoring):
    codec, recipe, features = restoring
    assert recipe.stages == (Stage("restore", 3),)
    rates = torch.full((len(features),), RATES - 1)
    told = codec.told(features, rates)
    linear = Isthmus(SHAPE, IsthmusSetting.parse("k8-s2-b200"))
    linear.load_state_dict({name: each for name, each in codec.state_dict().items() if "restorer" not in name})
    with torch.no_grad():
        torch.testing.assert_close(codec.restore(told), linear.restore(told))
        logits = recipe.tail(features)
        before = divergence(recipe.tail(codec.restore(told)), logits)
    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        recipe.loss(features, logits, "restore", 0.0).loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert divergence(recipe.tail(codec.restore(told)), logits) < 0.8 * before
