"""What the tests of the Serve applications talk to instead of Ray, Triton and sockets."""

import asyncio
import json
from dataclasses import dataclass, field

import numpy as np

from wire.messages import Frame, Hello, pack, unpack

WAIT_S = 20.0


@dataclass
class Clock:
    """Stands at what a test sets it to."""

    now_s: float = 0.0

    def __call__(self):
        return self.now_s


class FakeBackend:
    """Answers each frame with its own first symbols; once held, it lets a batch through only when it is told to."""

    def __init__(self, classes=4):
        self.classes = classes
        self.batches = []
        self.loaded = 0
        self.fails_with = None
        self._held = False
        self._turns = asyncio.Semaphore(0)

    def hold(self):
        self._held = True

    def let_one_through(self):
        self._turns.release()

    def let_go(self):
        self._held = False
        for _ in range(100):
            self._turns.release()

    async def load(self):
        self.loaded += 1

    async def unload(self):
        self.loaded -= 1

    async def infer(self, batch):
        self.batches.append(batch)
        if self._held:
            await self._turns.acquire()
        if self.fails_with is not None:
            raise self.fails_with
        return batch.reshape(len(batch), -1)[:, : self.classes].astype(np.float32)


async def until(condition):
    """Let the other tasks run until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is a state of the code under test
            await asyncio.sleep(0)


@dataclass
class Response:
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""

    def json(self):
        return json.loads(self.body)


async def request(app, method, path, body=b"", headers=None, part_bytes=2**16, part_every_s=0.0):
    """Make one HTTP request of an ASGI application; the body comes in parts, so many seconds apart."""
    parts = [body[start : start + part_bytes] for start in range(0, len(body), part_bytes)] or [b""]
    events = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]
    response = Response()
    path, _, query = path.partition("?")

    async def receive():
        if events:
            await asyncio.sleep(part_every_s)
            return events.pop(0)
        return await asyncio.Event().wait()  # the client stays until it is answered

    async def send(event):
        if event["type"] == "http.response.start":
            response.status = event["status"]
            response.headers = {name.decode(): value.decode() for name, value in event["headers"]}
        elif event["type"] == "http.response.body":
            response.body += event.get("body", b"")

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query.encode(), "client": ("test", 1),
        "server": ("test", 80),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }  # fmt: skip
    async with asyncio.timeout(WAIT_S):
        await app(scope, receive, send)
    return response


class Socket:
    """The agent's end of a WebSocket to an ASGI application."""

    def __init__(self, app, path="/stream"):
        self.scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": path,
            "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": [], "subprotocols": [],
            "client": ("test", 1), "server": ("test", 80),
        }  # fmt: skip
        self._app = app
        self._room = asyncio.Event()
        self._room.set()
        self._to_app = asyncio.Queue()
        self.from_app = asyncio.Queue()

    def connect(self):
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self._app(self.scope, self._to_app.get, self._take))

    def block_sends(self):
        """Take nothing more from the application, as where a peer does not read."""
        self._room.clear()

    async def _take(self, event):
        await self._room.wait()
        await self.from_app.put(event)

    async def __aenter__(self):
        self.connect()
        assert (await self._event())["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *_):
        self.disconnect()
        async with asyncio.timeout(WAIT_S):
            await self.task

    def disconnect(self):
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def send(self, message):
        """Send a message, or bytes or text as they are."""
        if isinstance(message, str):
            self._to_app.put_nowait({"type": "websocket.receive", "text": message})
        else:
            data = message if isinstance(message, bytes) else pack(message)
            self._to_app.put_nowait({"type": "websocket.receive", "bytes": data})

    async def receive(self):
        event = await self._event()
        assert event["type"] == "websocket.send", event
        return unpack(event["bytes"])

    async def closed(self):
        """Give the code of the close that must come next."""
        event = await self._event()
        assert event["type"] == "websocket.close", event
        return event["code"]

    async def _event(self):
        async with asyncio.timeout(WAIT_S):
            return await self.from_app.get()


def hello(digest):
    return Hello("camera-1", "isthmus-agent 0", digest)


def frame(bitstream, *, option_id, frame_id=1, budget_s=60.0):
    return Frame(frame_id=frame_id, option_id=option_id, budget_s=budget_s, bitstream=bitstream)
