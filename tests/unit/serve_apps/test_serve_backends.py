import numpy as np
import pytest
from serve_fakes import frame

from cluster.bundles.synthetic import SYNTHETIC_POINT, write_synthetic
from serve_apps.backends import NoopBackend, OnnxBackend
from serve_apps.readiness import option_bitstream, test_picture
from wire.bitstream import Coder, peek
from wire.errors import TailFailed

# Its name is not ours to choose, and pytest would take it for a test.
test_picture.__test__ = False


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


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
