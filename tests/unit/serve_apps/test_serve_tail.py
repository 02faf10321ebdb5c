import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from serve_fakes import FakeBackend, frame, hello, until

from cluster.triton.tuning import Tuning
from serve_apps import waiting_room
from serve_apps.node_load import NodeLoad
from serve_apps.stream_memory import StreamMemory
from serve_apps.tail import MAX_BATCH, WARM_UP_FRAMES
from serve_apps.waiting_room import MAX_WAITING_BYTES, places_for
from wire.bitstream import Coder, Header, wrap
from wire.errors import BadPicture, TailFailed, UnknownOption, UnknownPoint, WrongBundle, error_class
from wire.messages import Reject, Result, Welcome, pack, unpack
from wire.tensor_form import TensorForm


async def test_a_good_frame_is_answered_with_its_best_classes_first(tail, bitstream):
    answer = await tail.answer(frame(bitstream, option_id=4, frame_id=77))
    assert isinstance(answer, Result)
    assert (answer.frame_id, answer.option_id, answer.batch_size) == (77, 4, 1)
    assert answer.labels == (3, 1, 0, 2)
    assert answer.scores == (80.0, 40.0, 9.0, 7.0)
    assert tail.labelled(answer) == [("dog", 80.0), ("bee", 40.0), ("ant", 9.0), ("cat", 7.0)]
    assert answer.load.state == "ready"
    assert unpack(pack(answer)) == answer


async def test_the_timings_of_an_answer_add_up(tail, bitstream):
    timings = (await tail.answer(frame(bitstream, option_id=4))).timings
    assert min(timings.decode_s, timings.queue_s, timings.compute_s) >= 0.0
    assert timings.total_s >= timings.decode_s + timings.compute_s


async def test_the_backend_is_given_the_symbols_that_the_device_sent(tail, backends, bitstream, symbols):
    await tail.answer(frame(bitstream, option_id=4))
    np.testing.assert_array_equal(backends["four.onnx"].batches[0], symbols[None])
    assert backends["five.onnx"].batches == []


async def test_a_jpeg_frame_reaches_the_backend_as_pixels(input_tail, backends, jpeg_frame):
    answer = await input_tail.answer(jpeg_frame())
    assert isinstance(answer, Result)
    (batch,) = backends["whole.onnx"].batches
    assert (batch.shape, batch.dtype) == ((1, 32, 32, 3), np.uint8)
    assert np.abs(batch[0].astype(int) - [10, 200, 30]).max() < 8


async def test_frames_of_one_option_that_wait_together_are_answered_together(tail, backends, bitstream):
    backends["four.onnx"].hold()
    tasks = [asyncio.create_task(tail.answer(frame(bitstream, option_id=4, frame_id=i))) for i in range(4)]
    await until(lambda: tail.load().in_flight == 4 and backends["four.onnx"].batches)
    backends["four.onnx"].let_go()
    answers = await asyncio.gather(*tasks)
    assert [answer.frame_id for answer in answers] == [0, 1, 2, 3]
    assert sum(1 / answer.batch_size for answer in answers) == pytest.approx(len(backends["four.onnx"].batches))
    assert len(backends["four.onnx"].batches) <= 2
    assert tail.load().in_flight == 0


async def test_options_that_share_a_graph_share_its_model_and_its_batches(tail, backends, bundle, bitstream, symbols):
    backend = backends["four.onnx"]
    raw = bundle.coding(bundle.option(7)).encode(symbols)
    backend.hold()
    first = asyncio.create_task(tail.answer(frame(bitstream, option_id=4)))
    await until(lambda: backend.batches)
    mixed = [asyncio.create_task(tail.answer(frame(sent, option_id=number))) for sent, number in
             ((bitstream, 4), (raw, 7), (bitstream, 4))]  # fmt: skip
    await until(lambda: tail.load().in_flight == 4)
    backend.let_go()
    answers = await asyncio.gather(first, *mixed)
    assert [answer.option_id for answer in answers] == [4, 4, 7, 4]
    assert [answer.batch_size for answer in answers] == [1, 3, 3, 3]
    assert len({answer.labels for answer in answers}) == 1
    assert set(backends) == {"four.onnx", "five.onnx"}


async def test_real_symbols_reach_the_backend_as_float32_from_either_coder(open_tail, backends, bundle):
    sent = np.array([[[0.5, 8.0], [2.5, -1.0]]], np.float32)
    async with open_tail("real") as tail:
        for number in (8, 9):
            answer = await tail.answer(frame(bundle.coding(bundle.option(number)).encode(sent), option_id=number))
            assert answer.labels[0] == 1
    (plain, quantised) = backends["real.onnx"].batches
    assert plain.dtype == quantised.dtype == np.float32
    np.testing.assert_array_equal(plain[0], sent)
    np.testing.assert_array_equal(quantised[0], sent)


async def test_further_looks_at_a_frame_are_answered_from_what_they_refine(
    real_tail, backends, look_frame, looks_decoded
):
    memory = StreamMemory()
    for look, wanted in enumerate(looks_decoded):
        answer = await real_tail.answer(look_frame(look, frame_id=77), memory)
        assert (type(answer), answer.frame_id, answer.option_id) == (Result, 77, 10)
        assert answer.scores == tuple(sorted(wanted.ravel(), reverse=True))
    np.testing.assert_array_equal(np.concatenate(backends["real.onnx"].batches), looks_decoded)


@pytest.mark.parametrize("stream", [StreamMemory, lambda: None], ids=["of another stream", "without a stream"])
async def test_a_refinement_without_the_look_before_it_is_refused_and_not_computed(
    real_tail, backends, look_frame, stream
):
    assert isinstance(await real_tail.answer(look_frame(0), StreamMemory()), Result)
    backends["real.onnx"].batches.clear()
    answer = await real_tail.answer(look_frame(1), stream())
    assert (type(answer), answer.code, answer.frame_id) == (Reject, "look_missing", 1)
    assert answer.load is not None
    assert unpack(pack(answer)) == answer
    assert backends["real.onnx"].batches == []
    assert real_tail.load().in_flight == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
async def test_an_answer_that_is_no_number_is_a_refusal_that_can_be_sent(open_tail, bundle, bad):
    sent = bundle.coding(bundle.option(8)).encode(np.full((1, 2, 2), bad, np.float32))
    async with open_tail("real") as tail:
        answer = await tail.answer(frame(sent, option_id=8))
    assert (type(answer), answer.code) == (Reject, "tail_failed")
    assert unpack(pack(answer)) == answer


def bad_frames(bundle, bitstream):
    """Every way in which a frame of option 4 can be wrong, and what the device is told."""
    flipped = bytes([*bitstream[:-1], bitstream[-1] ^ 1])
    other = bundle.coding(bundle.option(5))
    return {
        "unknown_option": [
            frame(bitstream, option_id=99),
            frame(other.encode(other.blank()), option_id=4),
        ],
        "corrupt_bitstream": [
            frame(flipped, option_id=4),
            frame(bitstream[:-1], option_id=4),
            frame(b"\x00" * 40, option_id=4),
            frame(wrap(Header(Coder.JPEG, 4), b"a picture"), option_id=4),
        ],
        "truncated_bitstream": [frame(b"", option_id=4), frame(bitstream[:7], option_id=4)],
        "deadline_exceeded": [frame(bitstream, option_id=4, budget_s=0.0)],
    }


@pytest.mark.parametrize("code", ["unknown_option", "corrupt_bitstream", "truncated_bitstream", "deadline_exceeded"])
async def test_a_bad_frame_is_refused_with_what_is_wrong_with_it(tail, backends, bundle, bitstream, code):
    for number, bad in enumerate(bad_frames(bundle, bitstream)[code]):
        answer = await tail.answer(replace(bad, frame_id=number))
        assert isinstance(answer, Reject), number
        assert (answer.code, answer.frame_id) == (code, number)
        assert answer.retryable == error_class(code).retryable
        assert answer.message
        assert answer.load is not None
        assert unpack(pack(answer)) == answer
    assert backends["four.onnx"].batches == []
    assert tail.load().in_flight == 0
    assert isinstance(await tail.answer(frame(bitstream, option_id=4)), Result)


@pytest.mark.parametrize("size", [(31, 32), (32, 31), (64, 64), (1, 1)])
async def test_a_jpeg_of_another_size_is_refused(input_tail, backends, jpeg, jpeg_frame, size):
    answer = await input_tail.answer(jpeg_frame(jpeg(*size)))
    assert (type(answer), answer.code) == (Reject, "bad_picture")
    assert f"{size[0]}×{size[1]}" in answer.message
    assert backends["whole.onnx"].batches == []


@pytest.mark.parametrize("keep", [0, 2, 100])
async def test_a_jpeg_that_does_not_decode_is_refused(input_tail, jpeg, jpeg_frame, keep):
    answer = await input_tail.answer(jpeg_frame(jpeg()[:keep]))
    assert (type(answer), answer.code) == (Reject, "bad_picture")


async def test_a_tail_that_fails_is_a_refusal_that_may_be_tried_again(tail, backends, bitstream):
    backends["four.onnx"].fails_with = RuntimeError("out of memory")
    answer = await tail.answer(frame(bitstream, option_id=4))
    assert (answer.code, answer.retryable) == ("tail_failed", True)
    assert answer.retry_after_s > 0


async def test_more_frames_than_may_wait_are_refused_as_overload(open_tail, backends, bitstream, monkeypatch):
    monkeypatch.setattr(waiting_room, "MAX_WAITING", 2)
    async with open_tail("mid", max_batch=1) as tail:
        backends["four.onnx"].hold()
        tasks = [asyncio.create_task(tail.answer(frame(bitstream, option_id=4)))]
        await until(lambda: backends["four.onnx"].batches)
        for device in ("one", "two"):
            tasks.append(asyncio.create_task(tail.answer(frame(bitstream, option_id=4), StreamMemory(device))))
        await until(lambda: tail.load().in_flight == 3)
        answer = await tail.answer(frame(bitstream, option_id=4), StreamMemory("three"))
        assert (answer.code, answer.retryable) == ("overloaded", True)
        backends["four.onnx"].let_go()
        assert {type(each) for each in await asyncio.gather(*tasks)} == {Result}


async def test_a_frame_that_cannot_make_its_deadline_is_refused_before_it_is_decoded(tail, backends, bitstream):
    backend = backends["four.onnx"]
    backend.hold()
    tasks = [asyncio.create_task(tail.answer(frame(bitstream, option_id=4)))]
    await until(lambda: backend.batches)
    tasks.append(asyncio.create_task(tail.answer(frame(bitstream, option_id=4), StreamMemory("one"))))
    await until(lambda: tail.load().in_flight == 2)
    # What is no bitstream at all would be told so, had it been looked at.
    answer = await tail.answer(frame(b"nothing", option_id=4, budget_s=1e-6), StreamMemory("two"))
    assert (type(answer), answer.code) == (Reject, "deadline_exceeded")
    assert answer.retry_after_s > 0
    assert answer.load.in_flight == 3
    backend.let_go()
    assert {type(each) for each in await asyncio.gather(*tasks)} == {Result}


async def test_a_device_that_sends_much_does_not_keep_another_from_being_answered(open_tail, backends, bitstream):
    async with open_tail("mid", max_batch=2) as tail:
        backends["four.onnx"].hold()
        sent = frame(bitstream, option_id=4)
        greedy = [asyncio.create_task(tail.answer(sent, StreamMemory("greedy"))) for _ in range(100)]
        await until(lambda: sum(task.done() for task in greedy) == 100 - 64)
        modest = asyncio.create_task(tail.answer(sent, StreamMemory("modest")))
        await until(lambda: tail.load().in_flight == 64 + 1)
        backends["four.onnx"].let_go()
        assert isinstance(await modest, Result)
        codes = [answer.code for answer in await asyncio.gather(*greedy) if isinstance(answer, Reject)]
        assert codes == ["overloaded"] * 36


async def test_a_graph_whose_profile_was_measured_is_run_as_that_says(open_tail, backends, bitstream):
    async with open_tail("mid", tunings={"four.onnx": Tuning(max_batch=2, instances=2)}) as tail:
        backend = backends["four.onnx"]
        backend.hold()
        sent = frame(bitstream, option_id=4)
        tasks = [asyncio.create_task(tail.answer(sent, StreamMemory(str(number)))) for number in range(6)]
        await until(lambda: len(backend.batches) == 2)
        backend.let_go()
        assert {answer.batch_size for answer in await asyncio.gather(*tasks)} == {2}


async def test_the_signal_says_what_a_frame_that_comes_now_would_wait(open_tail, backends, bitstream):
    async with open_tail("mid", max_batch=1) as tail:
        assert tail.load().queue_s == 0.0
        backends["four.onnx"].hold()
        sent = frame(bitstream, option_id=4)
        tasks = [asyncio.create_task(tail.answer(sent, StreamMemory(str(number)))) for number in range(8)]
        await until(lambda: tail.load().queue_s > 7 * tail._batchers["four.onnx"].times.alone_s)
        backends["four.onnx"].let_go()
        await asyncio.gather(*tasks)
        assert tail.load().queue_s == 0.0


async def test_what_is_known_of_the_machine_is_in_the_signal(tail):
    tail.note_node(NodeLoad(0.75, 0.001, 0.02))
    load = tail.load()
    assert (load.node_utilisation, load.triton_queue_s, load.triton_compute_s) == (0.75, 0.001, 0.02)


@pytest.mark.parametrize(
    ("form", "count"),
    [
        (TensorForm.symbols((96, 7, 7)), 256),
        (TensorForm.pixels(224, 224), 222),
        (TensorForm.symbols((3, 224, 224), "float32"), 55),
        (TensorForm.symbols((3, 4000, 4000), "float32"), 16),
    ],
)
def test_what_waits_is_bounded_in_frames_and_in_bytes_but_never_under_a_batch(form, count):
    assert places_for(form, 16) == count
    size = np.prod(form.shape) * np.dtype(form.dtype).itemsize
    assert count == 16 or count * size <= MAX_WAITING_BYTES


@pytest.mark.parametrize(("form", "size"), [("PNG", (50, 40)), ("JPEG", (32, 32)), ("WEBP", (7, 300))])
async def test_a_person_may_send_a_picture_of_any_size_and_usual_format(input_tail, backends, form, size):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 0, 0)).save(buffer, form)
    result = await input_tail.answer_picture(buffer.getvalue(), budget_s=60.0)
    assert backends["whole.onnx"].batches[0].shape == (1, 32, 32, 3)
    assert input_tail.labelled(result)[0][0] in {"ant", "dog"}  # the red values of its first two pixels


async def test_a_picture_that_does_not_decode_is_refused(input_tail):
    with pytest.raises(BadPicture):
        await input_tail.answer_picture(b"no picture", budget_s=60.0)


async def test_a_picture_sent_to_a_point_inside_is_sent_on_to_the_input(tail, jpeg):
    with pytest.raises(UnknownOption, match="takes no pictures") as caught:
        await tail.answer_picture(jpeg(), budget_s=60.0)
    assert "input" in caught.value.mend


async def test_a_device_with_the_same_bundle_is_welcome(tail, bundle):
    welcome = tail.welcome(hello(bundle.digest))
    assert isinstance(welcome, Welcome)
    assert (welcome.replica_id, welcome.bundle, welcome.load.point) == ("replica-1", bundle.digest, "mid")


async def test_a_device_with_another_bundle_is_refused_with_a_mend(tail, bundle):
    with pytest.raises(WrongBundle, match=bundle.digest[:12]) as caught:
        tail.welcome(hello("ab" * 32))
    assert "fetch" in caught.value.mend


@pytest.mark.parametrize("point", ["nowhere", "output"])
def test_a_point_that_the_cluster_cannot_answer_is_refused_with_those_it_can(make_tail, point):
    with pytest.raises(UnknownPoint) as caught:
        make_tail(point)
    assert "mid" in caught.value.mend


async def test_a_tail_is_ready_while_it_is_open_and_loads_every_graph_of_its_point(make_tail, backends):
    tail = make_tail("mid")
    assert tail.load().state == "starting"
    async with tail:
        assert tail.load().state == "ready"
        assert {graph: backend.loaded for graph, backend in backends.items()} == {"four.onnx": 1, "five.onnx": 1}
    assert tail.load().state == "draining"
    assert {backend.loaded for backend in backends.values()} == {0}


async def test_a_tail_is_warm_before_it_is_ready_and_knows_what_a_frame_takes(make_tail, backends):
    async with make_tail("mid") as tail:
        warmed = {graph: len(backend.batches) for graph, backend in backends.items()}
        # And to measure, one frame alone and a full batch, twice.
        assert warmed == {"four.onnx": 2 * WARM_UP_FRAMES + 4, "five.onnx": WARM_UP_FRAMES + 4}
        assert max(len(batch) for batch in backends["four.onnx"].batches) == MAX_BATCH
        signal = tail.load()
        assert signal.service_s > 0.0
        assert (signal.in_flight, signal.utilisation) == (0, 0.0)


async def test_a_tail_is_warm_for_every_look_of_its_options(make_tail, backends):
    async with make_tail("real"):
        # The options 8 and 9 have one look, 10 has three and 11 has two.
        assert len(backends["real.onnx"].batches) == (1 + 1 + 3 + 2) * WARM_UP_FRAMES + 4


@pytest.mark.parametrize("point", ["mid", "input"])
async def test_a_tail_that_cannot_answer_is_never_ready(make_tail, backends, monkeypatch, point):
    async def fail(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(FakeBackend, "infer", fail)
    tail = make_tail(point)
    with pytest.raises(TailFailed, match="no such kernel"):
        await tail.__aenter__()
    assert tail.load().state == "starting"
    await tail.__aexit__(None, None, None)
    assert {backend.loaded for backend in backends.values()} == {0}
