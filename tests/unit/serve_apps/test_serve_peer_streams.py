"""What a replica lets a device do on its streams and posts, with tokens and without."""

import asyncio
import dataclasses
import logging
import time

import pytest
from serve_fakes import WAIT_S, Socket, frame, hello, request, until

from serve_apps import agent_stream
from serve_apps.agent_stream import CLOSE_REFUSED
from serve_apps.guard import Guard
from serve_apps.peer_limits import PeerLimits
from serve_apps.tail_web import TailWeb
from serve_apps.token_folder import TokenFolder
from wire.messages import Reject, Result, Welcome, pack, unpack

MSGPACK = {"Content-Type": "application/msgpack"}


@pytest.fixture
def folder(tmp_path):
    return TokenFolder(tmp_path / "tokens")


@pytest.fixture
def token(folder):
    return folder.issue("camera-1", "device", days=1, now_s=time.time())[0]


@pytest.fixture
def serve(tail, folder, token):
    """Serve the tail to those with a token, with limits changed."""

    def make(**limits):
        return TailWeb(tail, Guard.of(folder.folder), PeerLimits(**limits)).asgi

    return make


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def socket_of(app, token=None, *, denials=True):
    made = Socket(app)
    if token is not None:
        made.scope["headers"] = [(b"authorization", f"Bearer {token}".encode())]
    made.scope["extensions"] = {"websocket.http.response": {}} if denials else {}
    return made


async def denied(socket):
    """Open a socket that is not let in, and give what it is told."""
    socket.connect()
    async with asyncio.timeout(WAIT_S):
        await socket.task
    return [socket.from_app.get_nowait() for _ in range(socket.from_app.qsize())]


async def greeted(socket, bundle):
    socket.send(hello(bundle.digest))
    assert isinstance(await socket.receive(), Welcome)


async def refused(socket, code):
    reject = await socket.receive()
    assert (type(reject), reject.frame_id, reject.code) == (Reject, None, code)
    assert await socket.closed() == CLOSE_REFUSED
    return reject


async def test_a_device_with_its_token_is_answered(serve, token, bundle, bitstream):
    async with socket_of(serve(), token) as socket:
        await greeted(socket, bundle)
        socket.send(frame(bitstream, option_id=4))
        assert isinstance(await socket.receive(), Result)


@pytest.mark.parametrize("given", [None, "isthmus1.forged.token"])
async def test_a_stream_without_a_good_token_is_none(serve, given):
    start, body = await denied(socket_of(serve(), given))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert b'"code":"unauthorized"' in body["body"]


async def test_a_server_that_cannot_say_why_closes_the_stream_before_it_is_one(serve):
    (event,) = await denied(socket_of(serve(), denials=False))
    assert event["type"] == "websocket.close"


async def test_the_name_that_a_device_says_must_be_its_tokens(serve, folder, bundle):
    other, _ = folder.issue("camera-2", "device", days=1, now_s=time.time())
    async with socket_of(serve(), other) as socket:
        socket.send(hello(bundle.digest))  # as camera-1
        assert "camera-2" in (await refused(socket, "forbidden")).message


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_a_stream_ends_when_its_token_does(tail, folder, token, bundle, monkeypatch, how):
    monkeypatch.setattr(agent_stream, "WATCH_EVERY_S", 0.01)
    guard = Guard.of(folder.folder)
    (claims,) = folder.issued()

    async with socket_of(TailWeb(tail, guard).asgi, token) as socket:
        await greeted(socket, bundle)
        if how == "revoked":
            folder.revoke(claims.token_id, now_s=time.time())
            monkeypatch.setattr(guard._book, "_looked_s", float("-inf"))
        else:
            monkeypatch.setattr(guard._book, "_wall", lambda: claims.expires_s)
        assert how in (await refused(socket, "unauthorized")).message


async def test_a_frame_over_the_rate_is_refused_with_when_to_try_again_and_the_stream_goes_on(
    serve, token, bundle, bitstream
):
    async with socket_of(serve(frames_s=20.0), token) as socket:
        await greeted(socket, bundle)
        for number in range(50):
            socket.send(frame(bitstream, option_id=4, frame_id=number))
        answers = {}
        for _ in range(50):
            answer = await socket.receive()
            answers[answer.frame_id] = answer
        rejects = [answer for answer in answers.values() if isinstance(answer, Reject)]
        assert sorted(answers) == list(range(50))
        assert rejects
        assert {(reject.code, reject.retryable) for reject in rejects} == {("rate_limited", True)}
        assert all(0.0 < reject.retry_after_s <= 0.05 for reject in rejects)
        assert sum(isinstance(answer, Result) for answer in answers.values()) >= 40


async def test_one_connection_too_many_is_refused_and_the_next_after_one_ended_is_not(serve, token, bundle):
    app = serve(connections=1)
    async with socket_of(app, token) as first:
        await greeted(first, bundle)
        start, body = await denied(socket_of(app, token))
        assert start["status"] == 429
        assert b"rate_limited" in body["body"]
    async with socket_of(app, token) as next_one:
        await greeted(next_one, bundle)


async def test_a_silent_stream_is_closed_with_the_reason(serve, token, bundle, monkeypatch):
    monkeypatch.setattr(agent_stream, "WATCH_EVERY_S", 0.01)
    async with socket_of(serve(silent_s=0.1), token) as socket:
        await greeted(socket, bundle)
        assert "no message within" in (await refused(socket, "deadline_exceeded")).message


async def test_a_peer_that_does_not_read_is_left(tail, bundle, bitstream):
    """Its answers wait for room that never comes, as where a transport's buffer is full."""
    app = TailWeb(tail, limits=PeerLimits(send_s=0.1)).asgi
    async with Socket(app) as socket:
        await greeted(socket, bundle)
        socket.block_sends()
        socket.send(frame(bitstream, option_id=4))
        await until(socket.task.done)
    assert tail.load().in_flight == 0


async def test_frames_beyond_what_the_replica_may_hold_are_refused(tail, backends, bundle, bitstream):
    web = TailWeb(tail, limits=PeerLimits(held_bytes=2**20))
    async with Socket(web.asgi) as socket:
        await greeted(socket, bundle)
        web._peers.hold(2**20)
        socket.send(frame(bitstream, option_id=4, frame_id=1))
        reject = await socket.receive()
        assert (reject.frame_id, reject.code, reject.retryable) == (1, "overloaded", True)
        web._peers.release(2**20)
        socket.send(frame(bitstream, option_id=4, frame_id=2))
        assert isinstance(await socket.receive(), Result)
    assert web._peers.held_bytes == 0


async def test_bytes_are_held_until_their_frame_is_answered_or_its_stream_gone(tail, backends, bundle, bitstream):
    web = TailWeb(tail)
    backends["four.onnx"].hold()
    async with Socket(web.asgi) as socket:
        await greeted(socket, bundle)
        message = pack(frame(bitstream, option_id=4))
        socket.send(message)
        await until(lambda: web._peers.held_bytes == len(message))
        socket.disconnect()
        backends["four.onnx"].let_go()
    assert web._peers.held_bytes == 0


async def test_a_post_needs_a_token_before_its_body_is_read(serve, token, bitstream):
    body = pack(frame(bitstream, option_id=4))
    response = await request(serve(), "POST", "/frame", body, MSGPACK)
    assert (response.status, response.json()["code"]) == (401, "unauthorized")
    response = await request(serve(), "POST", "/frame", body, {**MSGPACK, **bearer(token)})
    assert (response.status, type(unpack(response.body))) == (200, Result)


async def test_posts_have_the_same_rate_as_frames(serve, token, bitstream):
    app, body = serve(frames_s=1.0), pack(frame(bitstream, option_id=4))
    statuses = [(await request(app, "POST", "/frame", body, {**MSGPACK, **bearer(token)})).status for _ in range(4)]
    assert statuses == [200, 200, 429, 429]


async def test_a_body_that_drips_is_given_up(tail):
    web = TailWeb(tail, limits=PeerLimits(body_s=0.1, body_bytes_s=1e6))
    response = await request(web.asgi, "POST", "/frame", b"x" * 1000, MSGPACK, part_bytes=1, part_every_s=0.02)
    assert (response.status, response.json()["code"]) == (504, "deadline_exceeded")
    assert "too slowly" in response.json()["message"]
    assert web._peers.held_bytes == 0


async def test_no_log_shows_a_token(serve, token, bundle, caplog):
    caplog.set_level(logging.DEBUG)
    async with socket_of(serve(), token) as socket:
        await greeted(socket, bundle)
        socket.send("text")
        await refused(socket, "malformed_message")
    await denied(socket_of(serve(connections=1), token[:-3] + "xxx"))
    assert token.rpartition(".")[2][:20] not in caplog.text


def test_limits_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PeerLimits().frames_s = 1.0
