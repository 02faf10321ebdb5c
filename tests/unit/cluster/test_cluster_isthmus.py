import numpy as np
import pytest
import torch
from torch import nn

from cluster.codecs.isthmus import RATES, Isthmus, IsthmusSetting
from cluster.codecs.task_transform import task_transform
from cluster.training.plan import TrainingPlan
from cluster.training.task_transform_recipe import TaskTransformRecipe
from wire.errors import SettingError
from wire.rans import RansCoder
from wire.rans_tables import TOTAL

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


@pytest.mark.parametrize("text", ["k80-s2-b3500", "k1-s1-b10", "k8-s2-b99-c64"])
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
    assert set(tables) == {rate.name for rate in codec.rates}
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
