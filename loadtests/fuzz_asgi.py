"""A device's end of an ASGI application in this process: plays a script, and sees what the application did.

Owns the two queues of a stream and the one request of a post. Knows nothing of what is behind the application.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from loadtests.fuzz_script import Event, Script
from wire.messages import Message, Reject, Result, unpack

END_S: Final = 5.0
"""A stream that is cut has to end within this, and a post to be answered: what takes longer hangs."""
WAIT_S: Final = 2.0
PART_BYTES: Final = 97

Scope = MutableMapping[str, Any]
Asgi = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


async def play(app: Asgi, script: Script) -> list[str]:
    """Do what a script says; give the outcomes of all that was answered, in order.

    Raises AssertionError for a stream that does not end or an answer of status 500, and whatever the application does.
    """
    stream = _Stream(app)
    outcomes: list[str] = []
    for event in script.events:
        if event.kind == "post":
            outcomes.append(await _post(app, event))
        else:
            await stream.do(event)
    return [*outcomes, *await stream.ended()]


class _Stream:
    """One WebSocket, opened with the first event that needs it."""

    def __init__(self, app: Asgi) -> None:
        self._app = app
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Future[None] | None = None
        self._outcomes: list[str] = []
        self._sent = 0
        self._came = asyncio.Event()

    async def do(self, event: Event) -> None:
        """Send, cut or wait."""
        if self._task is None:
            self._to_app.put_nowait({"type": "websocket.connect"})
            scope = _scope("websocket", "/stream", [])
            self._task = asyncio.ensure_future(self._app(scope, self._to_app.get, self._send))
            self._task.add_done_callback(lambda _: self._came.set())
        match event.kind:
            case "bytes":
                self._to_app.put_nowait({"type": "websocket.receive", "bytes": event.data})
                self._sent += 1
            case "text":
                self._to_app.put_nowait({"type": "websocket.receive", "text": event.text})
                self._sent += 1
            case "cut":
                self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1006})
            case _:
                await self._answered(self._task)

    async def ended(self) -> list[str]:
        """Leave, and give what was answered."""
        if self._task is None:
            return []
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1006})
        done, _ = await asyncio.wait([self._task], timeout=END_S)
        assert done, "the stream did not end when its device left"
        await self._task
        return self._outcomes

    async def _answered(self, task: "asyncio.Future[None]") -> None:
        """Wait until as much has come as was sent, or the stream has ended."""
        until = asyncio.get_running_loop().time() + WAIT_S
        while not task.done() and len(self._outcomes) < self._sent:
            self._came.clear()
            left_s = until - asyncio.get_running_loop().time()
            assert left_s > 0, "a message was not answered"
            # The end of the stream wakes it too.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), left_s)

    async def _send(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.send":
            self._outcomes.append(outcome_of(unpack(event["bytes"])))
        elif event["type"] == "websocket.close":
            self._outcomes.append("closed")
            self._sent = 0
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": event.get("code", 1000)})
        self._came.set()


def outcome_of(message: Message) -> str:
    """Name what a replica answered."""
    match message:
        case Result():
            return "answered"
        case Reject():
            return message.code
        case _:
            return type(message).__name__.lower()


async def _post(app: Asgi, event: Event) -> str:
    parts = [event.data[at : at + PART_BYTES] for at in range(0, len(event.data), PART_BYTES)] or [b""]
    events = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(sent: dict[str, Any]) -> None:
        nonlocal status, body
        status = sent.get("status", status)
        body += sent.get("body", b"")

    headers = [(b"content-type", event.text.encode("ascii"))]
    async with asyncio.timeout(END_S):
        await app(_scope("http", "/frame", headers), receive, send)
    assert status not in (0, 500), f"a post was answered with {status}: {body[:500]!r}"
    if status == 200:
        return "answered"
    try:
        return str(json.loads(body)["code"])
    except ValueError:
        return outcome_of(unpack(body))


def _scope(kind: str, path: str, headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "scheme": "ws" if kind == "websocket" else "http", "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "headers": headers, "subprotocols": [], "client": ("fuzz", 1), "server": ("fuzz", 80),
        "extensions": {},
    }  # fmt: skip
