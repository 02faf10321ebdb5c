"""The WebSocket protocol of a replica, fed with bytes; its transport is a fake."""

import asyncio

import pytest
from serve_fakes import until
from uvicorn.config import WS_PROTOCOLS, Config
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.uri import parse_uri

from serve_apps import stream_protocol
from serve_apps.stream_protocol import MAX_UNREAD_BYTES, StreamProtocol, install
from wire.messages import MAX_MESSAGE_BYTES


class Transport:
    def __init__(self):
        self.written = bytearray()
        self.unread_bytes = 0
        self.aborted = self.closed = self.paused = False

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.unread_bytes

    def abort(self):
        self.aborted = True

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed or self.aborted

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def get_extra_info(self, _name, default=None):
        return default


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setitem(WS_PROTOCOLS, "auto", WS_PROTOCOLS["auto"])
    install()


class Peer:
    """A device's end, without a socket."""

    def __init__(self, app, **client):
        config = Config(app, log_config=None, lifespan="off", proxy_headers=False)
        config.load()
        self.protocol = config.ws_protocol_class(config, ServerState(), {})
        self.transport = Transport()
        self.protocol.connection_made(self.transport)
        self.client = ClientProtocol(parse_uri("ws://host/stream"), **client)

    async def open(self):
        self.client.send_request(self.client.connect())
        self.flush()
        await until(lambda: self.protocol.handshake_complete)
        self.client.receive_data(bytes(self.transport.written))
        self.transport.written.clear()
        (response,) = self.client.events_received()
        return response

    def flush(self):
        for data in self.client.data_to_send():
            self.protocol.data_received(data)


@pytest.fixture
def heard():
    """What the application was given, and the scope."""
    return []


@pytest.fixture
def go_on():
    return asyncio.Event()


@pytest.fixture
def app(heard, go_on):
    async def run(scope, receive, send):
        heard.append(scope)
        heard.append(await receive())
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (event := await receive())["type"] == "websocket.receive":
            heard.append(event)

    return run


async def test_uvicorn_takes_it_by_name_and_still_has_the_protocol_that_it_extends(app):
    assert isinstance(Peer(app).protocol, StreamProtocol)
    assert issubclass(StreamProtocol, AutoWebSocketsProtocol)


async def test_the_application_is_asked_for_by_a_header_that_keeps_serve_from_reading_ahead(app, heard):
    await Peer(app).open()
    assert (b"x-request-disconnect-disabled", b"?1") in heard[0]["headers"]


async def test_messages_that_the_application_does_not_take_wait_in_the_socket(app, heard, go_on):
    peer = Peer(app)
    await peer.open()
    peer.client.send_binary(b"one")
    peer.flush()
    assert peer.transport.paused
    go_on.set()
    await until(lambda: len(heard) == 3)
    assert heard[2]["bytes"] == b"one"
    assert not peer.transport.paused


@pytest.mark.parametrize(("size", "fits"), [(MAX_MESSAGE_BYTES + 1, True), (MAX_MESSAGE_BYTES + 2, False)])
@pytest.mark.parametrize("parts", [1, 3])
async def test_a_message_over_our_size_is_refused_before_it_is_all_there(app, size, fits, parts):
    peer = Peer(app)
    await peer.open()
    step = -(-size // parts)
    peer.client.send_binary(b"x" * min(step, size), fin=parts == 1)
    for part in range(1, parts):
        peer.client.send_continuation(b"x" * min(step, size - part * step), fin=part == parts - 1)
    peer.flush()
    assert (peer.protocol.queue.qsize() == 1) is fits or peer.protocol.queue.get_nowait()["code"] == 1009
    assert peer.protocol.close_sent is not fits


async def test_compression_is_not_negotiated_so_that_no_small_message_grows(app):
    response = await Peer(app, extensions=[ClientPerMessageDeflateFactory()]).open()
    assert response.status_code == 101
    assert "Sec-WebSocket-Extensions" not in response.headers


async def test_pings_are_answered_until_too_many_answers_are_unread(app):
    peer = Peer(app)
    await peer.open()
    peer.client.send_ping(b"a")
    peer.flush()
    assert peer.transport.written.endswith(b"a")
    peer.transport.unread_bytes = MAX_UNREAD_BYTES + 1
    peer.client.send_ping(b"b")
    peer.flush()
    assert peer.transport.aborted


async def test_what_a_peer_does_not_read_is_dropped_when_its_stream_ends(app, go_on):
    peer = Peer(app)
    await peer.open()
    peer.protocol.pause_writing()
    go_on.set()
    peer.protocol.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await until(lambda: peer.transport.aborted)


async def test_a_peer_that_does_not_answer_pings_is_cut(app, monkeypatch):
    monkeypatch.setattr(stream_protocol, "PING_EVERY_S", 0.01)
    monkeypatch.setattr(stream_protocol, "PONG_WITHIN_S", 0.01)
    peer = Peer(app)
    await peer.open()
    await until(lambda: peer.transport.closed)
    assert peer.protocol.close_sent
