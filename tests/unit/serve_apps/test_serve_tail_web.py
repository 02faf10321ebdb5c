import asyncio
import contextlib
import io

import pytest
from PIL import Image
from serve_fakes import Socket, frame, hello, request, until

from serve_apps import agent_stream, tail_web, waiting_room
from serve_apps.agent_stream import CLOSE_REFUSED, CLOSE_TOO_LARGE, MAX_IN_FLIGHT
from serve_apps.tail_web import TailWeb
from wire.errors import TailFailed
from wire.messages import MAX_MESSAGE_BYTES, PROTOCOL_VERSION, Reject, Result, Welcome, pack, unpack

MSGPACK = {"Content-Type": "application/msgpack"}


@pytest.fixture
def app(tail):
    return TailWeb(tail).asgi


@pytest.fixture
def input_app(input_tail):
    return TailWeb(input_tail).asgi


@pytest.fixture
def real_app(real_tail):
    return TailWeb(real_tail).asgi


@contextlib.asynccontextmanager
async def greeted_socket(app, bundle):
    """Open a stream that is greeted already."""
    async with Socket(app) as opened:
        opened.send(hello(bundle.digest))
        assert isinstance(await opened.receive(), Welcome)
        yield opened


@pytest.fixture
async def socket(app, bundle):
    async with greeted_socket(app, bundle) as opened:
        yield opened


async def refused(socket, code, close=CLOSE_REFUSED):
    """The stream's last words: what was wrong, and the close."""
    reject = await socket.receive()
    assert isinstance(reject, Reject)
    assert (reject.code, reject.frame_id) == (code, None)
    assert await socket.closed() == close
    return reject


async def test_a_stream_greets_a_device_and_answers_its_frames(app, bundle, bitstream):
    async with Socket(app) as socket:
        socket.send(hello(bundle.digest))
        welcome = await socket.receive()
        assert (type(welcome), welcome.bundle, welcome.load.state) == (Welcome, bundle.digest, "ready")
        for number in range(3):
            socket.send(frame(bitstream, option_id=4, frame_id=number))
            result = await socket.receive()
            assert (type(result), result.frame_id, result.labels[0]) == (Result, number, 3)


async def test_frames_are_answered_as_they_are_ready_not_one_by_one(socket, tail, backends, bitstream):
    backends["four.onnx"].hold()
    socket.send(frame(bitstream, option_id=4, frame_id=1))
    await until(lambda: backends["four.onnx"].batches)
    socket.send(frame(bitstream, option_id=99, frame_id=2))
    refusal = await socket.receive()
    assert (refusal.frame_id, refusal.code) == (2, "unknown_option")
    backends["four.onnx"].let_go()
    assert (await socket.receive()).frame_id == 1


async def test_a_bad_frame_is_refused_and_the_stream_goes_on(socket, bitstream):
    socket.send(frame(bitstream[:-1], option_id=4, frame_id=1))
    refusal = await socket.receive()
    assert (type(refusal), refusal.frame_id, refusal.code) == (Reject, 1, "corrupt_bitstream")
    socket.send(frame(bitstream, option_id=4, frame_id=2))
    assert (await socket.receive()).frame_id == 2


async def test_a_tail_that_fails_is_said_to_the_device_and_the_stream_goes_on(socket, backends, bitstream):
    backends["four.onnx"].fails_with = TailFailed("Triton is gone")
    socket.send(frame(bitstream, option_id=4))
    assert (await socket.receive()).code == "tail_failed"
    backends["four.onnx"].fails_with = None
    socket.send(frame(bitstream, option_id=4))
    assert isinstance(await socket.receive(), Result)


async def test_a_fault_of_our_own_at_one_frame_does_not_end_the_stream_of_the_others(
    socket, tail, bitstream, monkeypatch, caplog
):
    whole = tail.answer

    async def answer(asked, memory):
        if asked.frame_id == 1:
            raise ZeroDivisionError
        return await whole(asked, memory)

    monkeypatch.setattr(tail, "answer", answer)
    socket.send(frame(bitstream, option_id=4, frame_id=1))
    refusal = await socket.receive()
    assert (refusal.frame_id, refusal.code, refusal.retryable) == (1, "tail_failed", True)
    assert "ZeroDivisionError" in caplog.text
    socket.send(frame(bitstream, option_id=4, frame_id=2))
    assert isinstance(await socket.receive(), Result)


async def test_a_stream_answers_further_looks_at_its_last_frame(real_app, bundle, look_frame, looks_decoded):
    async with greeted_socket(real_app, bundle) as socket:
        for look, wanted in enumerate(looks_decoded):
            socket.send(look_frame(look))
            result = await socket.receive()
            assert (type(result), result.scores) == (Result, tuple(sorted(wanted.ravel(), reverse=True)))


async def test_a_look_on_another_stream_than_the_one_before_it_is_refused_and_both_go_on(real_app, bundle, look_frame):
    async with greeted_socket(real_app, bundle) as one, greeted_socket(real_app, bundle) as other:
        one.send(look_frame(0))
        assert isinstance(await one.receive(), Result)
        other.send(look_frame(1))
        refusal = await other.receive()
        assert (type(refusal), refusal.frame_id, refusal.code) == (Reject, 1, "look_missing")
        other.send(look_frame(0))
        assert isinstance(await other.receive(), Result)
        one.send(look_frame(1))
        assert isinstance(await one.receive(), Result)


async def test_one_stream_has_only_so_many_frames_in_flight(socket, tail, backends, bitstream):
    backends["four.onnx"].hold()
    for number in range(MAX_IN_FLIGHT + 10):
        socket.send(frame(bitstream, option_id=4, frame_id=number))
    await until(lambda: tail.load().in_flight == MAX_IN_FLIGHT)
    for _ in range(20):
        await asyncio.sleep(0)
    assert tail.load().in_flight == MAX_IN_FLIGHT
    backends["four.onnx"].let_go()
    answered = [(await socket.receive()).frame_id for _ in range(MAX_IN_FLIGHT + 10)]
    assert sorted(answered) == list(range(MAX_IN_FLIGHT + 10))


@pytest.mark.parametrize(
    ("sent", "code", "close"),
    [
        ("text", "malformed_message", CLOSE_REFUSED),
        (b"", "malformed_message", CLOSE_REFUSED),
        (b"\xc1 garbage", "malformed_message", CLOSE_REFUSED),
        (b"\x00" * (MAX_MESSAGE_BYTES + 1), "message_too_large", CLOSE_TOO_LARGE),
    ],
    ids=["text", "empty", "garbage", "oversized"],
)
@pytest.mark.parametrize("greeted", [False, True], ids=["at first", "after the greeting"])
async def test_what_is_no_message_ends_the_stream_with_the_reason(app, bundle, greeted, sent, code, close):
    async with Socket(app) as socket:
        if greeted:
            socket.send(hello(bundle.digest))
            await socket.receive()
        socket.send(sent)
        await refused(socket, code, close)


async def test_a_stream_opens_with_a_hello_and_nothing_else(app, bitstream):
    async with Socket(app) as socket:
        socket.send(frame(bitstream, option_id=4))
        assert "Hello" in (await refused(socket, "malformed_message")).message


async def test_a_second_hello_ends_the_stream(socket, bundle):
    socket.send(hello(bundle.digest))
    await refused(socket, "malformed_message")


async def test_a_device_with_another_bundle_is_told_which_one_is_served(app, bundle):
    async with Socket(app) as socket:
        socket.send(hello("ab" * 32))
        assert bundle.digest[:12] in (await refused(socket, "wrong_bundle")).message


async def test_a_device_of_another_protocol_version_is_told_so(app, bundle):
    other = pack(hello(bundle.digest)).replace(b"\xa1v" + bytes([PROTOCOL_VERSION]), b"\xa1v\x63")
    async with Socket(app) as socket:
        socket.send(other)
        assert "99" in (await refused(socket, "unsupported_version")).message


async def test_a_device_that_says_nothing_is_sent_away(app, monkeypatch):
    monkeypatch.setattr(agent_stream, "HELLO_TIMEOUT_S", 0.01)
    async with Socket(app) as socket:
        await refused(socket, "deadline_exceeded")


async def test_a_device_that_goes_before_or_after_the_greeting_leaves_nothing_behind(app, tail, bundle):
    async with Socket(app):
        pass
    async with Socket(app) as socket:
        socket.send(hello(bundle.digest))
        await socket.receive()
    assert tail.load().in_flight == 0


async def test_a_device_that_goes_while_its_frame_is_computed_disturbs_nobody(app, tail, backends, bundle, bitstream):
    backends["four.onnx"].hold()
    async with Socket(app) as gone:
        gone.send(hello(bundle.digest))
        await gone.receive()
        gone.send(frame(bitstream, option_id=4))
        await until(lambda: tail.load().in_flight == 1)
        gone.disconnect()
        backends["four.onnx"].let_go()
    assert tail.load().in_flight == 0
    async with Socket(app) as stays:
        stays.send(hello(bundle.digest))
        await stays.receive()
        stays.send(frame(bitstream, option_id=4))
        assert isinstance(await stays.receive(), Result)


async def test_a_stream_refused_while_a_frame_is_computed_ends_when_that_frame_does(socket, tail, backends, bitstream):
    backends["four.onnx"].hold()
    socket.send(frame(bitstream, option_id=4))
    await until(lambda: tail.load().in_flight == 1)
    socket.send("text")
    await refused(socket, "malformed_message")
    backends["four.onnx"].let_go()
    await until(socket.task.done)
    assert socket.task.exception() is None
    assert socket.from_app.empty()


async def test_a_posted_frame_is_answered_in_the_same_form(app, bitstream):
    response = await request(app, "POST", "/frame", pack(frame(bitstream, option_id=4, frame_id=5)), MSGPACK)
    assert (response.status, response.headers["content-type"]) == (200, "application/msgpack")
    answer = unpack(response.body)
    assert (type(answer), answer.frame_id, answer.labels[0]) == (Result, 5, 3)


@pytest.mark.parametrize(
    ("option_id", "cut", "budget_s", "status", "code"),
    [
        (99, 0, 60.0, 404, "unknown_option"),
        (4, 1, 60.0, 400, "corrupt_bitstream"),
        (4, 24, 60.0, 400, "truncated_bitstream"),
        (4, 0, 0.0, 504, "deadline_exceeded"),
    ],
)
async def test_a_posted_frame_that_is_refused_has_the_status_of_its_error(
    app, bitstream, option_id, cut, budget_s, status, code
):
    posted = frame(bitstream[: len(bitstream) - cut], option_id=option_id, budget_s=budget_s)
    response = await request(app, "POST", "/frame", pack(posted), MSGPACK)
    assert (response.status, unpack(response.body).code) == (status, code)


async def test_a_posted_refinement_is_refused_since_nothing_is_remembered_of_a_post(real_app, look_frame):
    first, second = [await request(real_app, "POST", "/frame", pack(look_frame(look)), MSGPACK) for look in (0, 1)]
    assert (first.status, type(unpack(first.body))) == (200, Result)
    assert (second.status, unpack(second.body).code) == (409, "look_missing")


async def test_a_posted_frame_that_the_tail_cannot_compute_is_a_bad_gateway(app, backends, bitstream):
    backends["four.onnx"].fails_with = RuntimeError("out of memory")
    response = await request(app, "POST", "/frame", pack(frame(bitstream, option_id=4)), MSGPACK)
    assert (response.status, unpack(response.body).code) == (502, "tail_failed")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_message"),
        (b"\xc1 garbage", 400, "malformed_message"),
        (pack(hello("ab" * 32)), 400, "malformed_message"),
        (b"\x00" * (MAX_MESSAGE_BYTES + 1), 413, "message_too_large"),
    ],
    ids=["empty", "garbage", "a hello", "oversized"],
)
async def test_a_post_that_is_no_frame_is_refused_in_words(app, body, status, code):
    response = await request(app, "POST", "/frame", body, MSGPACK)
    assert response.status == status
    said = response.json()
    assert said.keys() == {"code", "message", "mend", "retryable"}
    assert (said["code"], said["retryable"]) == (code, False)
    assert said["message"]


async def test_a_posted_picture_is_answered_in_words(input_app, bundle):
    buffer = io.BytesIO()
    Image.new("RGB", (80, 50), (10, 200, 30)).save(buffer, "PNG")
    response = await request(input_app, "POST", "/frame", buffer.getvalue(), {"Content-Type": "image/png"})
    assert response.status == 200
    said = response.json()
    assert (said["point"], said["bundle"]) == ("input", bundle.digest[:12])
    assert said["labels"][0] == {"label": "bee", "score": 200.0}
    assert [label["score"] for label in said["labels"]] == [200.0, 30.0, 10.0, 10.0]
    assert said["timings_ms"].keys() == {"decode", "queue", "compute", "total"}


async def test_a_picture_needs_no_content_type(input_app, jpeg):
    assert (await request(input_app, "POST", "/frame", jpeg())).status == 200


async def test_what_is_no_picture_is_refused_in_words(input_app):
    response = await request(input_app, "POST", "/frame", b"no picture", {"Content-Type": "image/jpeg"})
    assert (response.status, response.json()["code"]) == (422, "bad_picture")
    assert "JPEG" in response.json()["mend"]


async def test_a_picture_posted_to_a_point_inside_is_sent_to_the_input(app, jpeg):
    response = await request(app, "POST", "/frame", jpeg())
    assert (response.status, response.json()["code"]) == (404, "unknown_option")
    assert "input" in response.json()["mend"]


async def test_a_body_that_never_ends_is_refused_before_it_is_all_read(input_app, monkeypatch):
    monkeypatch.setattr(tail_web, "MAX_PICTURE_BYTES", 1000)
    response = await request(input_app, "POST", "/frame", b"\xff" * 10_000, part_bytes=600)
    assert (response.status, response.json()["code"]) == (413, "message_too_large")


async def test_overload_is_told_with_a_status_that_asks_to_come_again(open_tail, backends, bitstream, monkeypatch):
    monkeypatch.setattr(waiting_room, "MAX_WAITING", 1)
    async with open_tail("mid", max_batch=1) as tail:
        app = TailWeb(tail).asgi
        backends["four.onnx"].hold()
        sent = pack(frame(bitstream, option_id=4))
        before = [asyncio.create_task(request(app, "POST", "/frame", sent, MSGPACK))]
        await until(lambda: backends["four.onnx"].batches)
        before.append(asyncio.create_task(request(app, "POST", "/frame", sent, MSGPACK)))
        await until(lambda: tail.load().in_flight == 2)
        response = await request(app, "POST", "/frame", sent, MSGPACK)
        backends["four.onnx"].let_go()
        assert [(await each).status for each in before] == [200, 200]
    refusal = unpack(response.body)
    assert (response.status, refusal.code, refusal.retryable) == (503, "overloaded", True)
    assert refusal.retry_after_s > 0


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/frame", 405), ("POST", "/else", 404)])
async def test_there_is_no_other_way_in(app, method, path, status):
    assert (await request(app, method, path)).status == status
