import asyncio

import numpy as np
import pytest
from serve_fakes import frame

from cluster.bundles.synthetic import SYNTHETIC_POINT, write_synthetic
from cluster.triton.repository import ModelSpec
from serve_apps.backends import NoopBackend, OnnxBackend, TritonBackend
from serve_apps.readiness import option_bitstream, test_picture
from serve_apps.triton_host import TritonModels
from wire.bitstream import Coder, peek
from wire.errors import TailFailed
from wire.tensor_form import TensorForm

# Its name is not ours to choose, and pytest would take it for a test.
test_picture.__test__ = False


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


def spec(name="model"):
    return ModelSpec(name=name, graph=None, form=TensorForm.symbols((1, 1, 1)), classes=3, max_batch=4)


class FakeTriton:
    """Notes what it is asked to load and unload; loading takes a few turns of the loop."""

    def __init__(self):
        self.asked = []
        self.fails = False

    async def load(self, name):
        self.asked.append(("load", name))
        for _ in range(5):
            await asyncio.sleep(0)
        if self.fails:
            raise TailFailed(f"Triton cannot load {name}")

    async def unload(self, name):
        self.asked.append(("unload", name))

    async def infer(self, of, batch):
        return np.full((len(batch), of.classes), 0.5, np.float32)


@pytest.fixture
def triton():
    return FakeTriton()


@pytest.fixture
def models(tmp_path, triton):
    return TritonModels(tmp_path / "models", triton)


async def test_the_onnx_backend_runs_the_graph_on_batches_of_any_size(synthetic):
    backend = OnnxBackend(synthetic.path("cluster.onnx"), threads=1)
    await backend.load()
    for count in (1, 5):
        symbols = np.zeros((count, 3, 13, 13), np.uint8)
        symbols[:, 2] = 9
        probabilities = await backend.infer(symbols)
        assert (probabilities.shape, probabilities.dtype) == ((count, 3), np.float32)
        assert set(probabilities.argmax(axis=1)) == {2}
    await backend.unload()


async def test_the_onnx_backend_says_that_it_is_not_loaded(synthetic):
    backend = OnnxBackend(synthetic.path("cluster.onnx"), threads=1)
    with pytest.raises(TailFailed, match=r"cluster\.onnx is not loaded"):
        await backend.infer(np.zeros((1, 3, 13, 13), np.uint8))
    await backend.load()
    await backend.unload()
    with pytest.raises(TailFailed, match="not loaded"):
        await backend.infer(np.zeros((1, 3, 13, 13), np.uint8))


async def test_what_onnx_runtime_refuses_becomes_an_error_of_ours(synthetic):
    backend = OnnxBackend(synthetic.path("cluster.onnx"), threads=1)
    await backend.load()
    with pytest.raises(TailFailed, match="could not run") as caught:
        await backend.infer(np.zeros((1, 3, 5, 5), np.uint8))
    assert caught.value.__cause__ is not None


async def test_the_noop_backend_answers_every_frame_with_nothing():
    backend = NoopBackend(7)
    await backend.load()
    assert (await backend.infer(np.zeros((3, 2), np.uint8))).tolist() == [[0.0] * 7] * 3
    await backend.unload()


async def test_the_triton_backend_counts_as_a_user_while_it_is_loaded(triton, models):
    backend = TritonBackend(spec(), triton, acquire=models.acquire, release=models.release)
    await backend.load()
    assert (await backend.infer(np.zeros((2, 1), np.uint8))).shape == (2, 3)
    await backend.unload()
    assert triton.asked == [("load", "model"), ("unload", "model")]


async def test_the_first_user_loads_a_model_and_the_last_one_unloads_it(triton, models, tmp_path):
    for _ in range(3):
        await models.acquire(spec())
    assert (tmp_path / "models" / "model" / "config.pbtxt").is_file()
    await models.release("model")
    await models.release("model")
    assert triton.asked == [("load", "model")]
    await models.release("model")
    assert triton.asked == [("load", "model"), ("unload", "model")]
    await models.acquire(spec())
    assert triton.asked[-1] == ("load", "model")


async def test_users_that_come_at_once_load_a_model_once_and_all_wait_for_it(triton, models):
    await asyncio.gather(*(models.acquire(spec()) for _ in range(8)))
    assert triton.asked == [("load", "model")]
    await asyncio.gather(*(models.release("model") for _ in range(8)))
    assert triton.asked == [("load", "model"), ("unload", "model")]


async def test_models_are_counted_each_for_itself(triton, models):
    await models.acquire(spec("a"))
    await models.acquire(spec("b"))
    await models.release("a")
    assert triton.asked == [("load", "a"), ("load", "b"), ("unload", "a")]


async def test_a_model_that_could_not_be_loaded_has_no_user_and_is_tried_again(triton, models):
    triton.fails = True
    with pytest.raises(TailFailed):
        await models.acquire(spec())
    triton.fails = False
    await models.acquire(spec())
    await models.release("model")
    assert triton.asked == [("load", "model"), ("load", "model"), ("unload", "model")]


async def test_giving_back_what_nobody_has_does_nothing(triton, models):
    await models.release("model")
    assert triton.asked == []


def test_the_probe_of_a_codec_is_a_whole_bitstream_of_its_own_device_graph(synthetic):
    (option,) = synthetic.options_at(SYNTHETIC_POINT)
    bitstream = option_bitstream(synthetic, option)
    assert peek(bitstream).coder is Coder.HUFFMAN
    symbols = synthetic.coding(option).decode(bitstream)
    np.testing.assert_array_equal(symbols, test_picture(13, 13).transpose(2, 0, 1))


def test_the_probe_of_a_jpeg_is_a_picture_of_the_backbones_size(bundle):
    bitstream = option_bitstream(bundle, bundle.option(3))
    assert peek(bitstream).coder is Coder.JPEG
    pixels = bundle.coding(bundle.option(3)).decode(bitstream)
    assert np.abs(pixels.astype(int) - test_picture(32, 32)).mean() < 30


async def test_a_tail_answers_the_probe_of_its_point(bundle, input_tail):
    answer = await input_tail.answer(frame(option_bitstream(bundle, bundle.option(3)), option_id=3))
    assert answer.labels


def test_the_probes_picture_has_smooth_and_busy_parts():
    picture = test_picture(40, 60)
    assert (picture.shape, picture.dtype) == ((40, 60, 3), np.uint8)
    assert picture[0, :, 0].tolist() == sorted(picture[0, :, 0].tolist())
    assert set(np.unique(picture[..., 2])) == {0, 255}
