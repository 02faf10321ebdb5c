"""Replicas under the fuzzer: real tails behind their real web application, with ONNX Runtime, in this process.

Imported by the process that fuzzes, since nothing but the command line may know the Serve applications.
"""

import asyncio
import base64
import hmac
import io
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from PIL import Image
from structlog.typing import EventDict

from cluster.cli.fuzz_bundle import write_served_bundle
from cluster.pictures import FORMATS, centre_crop, open_picture
from loadtests.fuzz_asgi import Asgi, play
from loadtests.fuzz_bundle import POINTS, SIDE
from loadtests.fuzz_messages import TREE
from loadtests.fuzz_script import Script, script, seeds
from loadtests.fuzz_target import ACCEPTED, Target
from serve_apps.backends import OnnxBackend, TailBackend
from serve_apps.tail import Tail
from serve_apps.tail_web import TailWeb
from serve_apps.tokens import SigningKey
from wire.bundle import Bundle
from wire.errors import BadPicture, Unauthorized
from wire.ids import DeviceId, PointName
from wire.tensor_form import TensorForm

HEALTHY_EVERY: Final = 64
"""After so many scripts a device that does all as it should must be answered as it should."""
LEVELS: Final = ("error", "exception", "critical")


def replica(folder: Path) -> Target:
    """Make the target: scripts of a device at a tail of every point."""
    bundle = write_served_bundle(folder)
    errors = _Errors()
    replicas, stack = asyncio.Runner(), AsyncExitStack()
    web = replicas.run(open_replicas(bundle, stack))
    healthy = [script(data, bundle) for data in seeds(bundle)[:1]]
    count = 0

    async def one(played: Script) -> list[str]:
        tail, app = web[played.point]
        outcomes = await play(app, played)
        assert tail.load().in_flight == 0, "a frame is in flight when its stream has ended"
        return outcomes

    def run(data: bytes) -> str:
        nonlocal count
        count += 1
        outcomes = replicas.run(one(script(data, bundle)))
        errors.check()
        if count % HEALTHY_EVERY == 0:
            for played in healthy:
                found = set(replicas.run(one(played)))
                assert found == {"welcome", "answered"}, f"a device that does as it should got {found}"
        return max(outcomes, key=outcomes.count, default="silent").replace("answered", ACCEPTED)

    def close() -> None:
        errors.close()
        replicas.run(stack.aclose())
        replicas.close()

    return Target(run=run, seeds=tuple(seeds(bundle)), tree=TREE, close=close)


def posted(_folder: Path) -> Target:
    """Make the target: any bytes as a picture that somebody posts."""
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    found = []
    for name in FORMATS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, name)
        found.append(file.getvalue())

    def run(data: bytes) -> str:
        try:
            frame = centre_crop(open_picture(io.BytesIO(data)), resize=SIDE, height=SIDE, width=SIDE)
        except BadPicture as error:
            return error.code
        assert frame.shape == (SIDE, SIDE, 3)
        return ACCEPTED

    return Target(run=run, seeds=tuple(found))


def tokens(_folder: Path) -> Target:
    """Make the target: any text as a token; with a first byte that is odd, any text as what a good signature signs."""
    key = SigningKey(b"k" * 32)
    good = key.sign(key.claims(DeviceId("camera-1"), "device", issued_s=0, expires_s=100))
    payload = good.split(".")[1]

    def run(data: bytes) -> str:
        text = data[1:].decode("latin-1")
        if data[:1] and data[0] % 2:
            signed = f"{good.split('.')[0]}.{text}"
            digest = hmac.digest(key.secret, signed.encode(), "sha256")
            text = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
        try:
            claims = key.verify(text, now_s=50.0)
        except Unauthorized as error:
            return error.code
        assert claims.key_id == key.key_id
        return ACCEPTED

    return Target(run=run, seeds=(b"\0" + good.encode(), b"\1" + payload.encode()))


async def open_replicas(bundle: Bundle, stack: AsyncExitStack) -> dict[PointName, tuple[Tail, Asgi]]:
    """Open a tail of every point, for as long as ``stack`` lives."""
    opened = {}
    for point in POINTS:
        tail = await stack.enter_async_context(Tail(bundle, point, _make_backend(bundle), replica_id="fuzzed"))
        opened[point] = tail, TailWeb(tail).asgi
    return opened  # type: ignore[return-value]  # Starlette's types of an application are wider than ours


def _make_backend(bundle: Bundle) -> Callable[[str, TensorForm], TailBackend]:
    return lambda graph, _form: OnnxBackend(bundle.path(graph), threads=1)


class _Errors(logging.Handler):
    """Keeps what a replica logs as an error: it goes on after a fault of its own, which is a finding all the same."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._said: list[str] = []
        structlog.configure([structlog.processors.format_exc_info, self._take])
        logging.getLogger().addHandler(self)

    def close(self) -> None:
        """Listen no longer."""
        structlog.reset_defaults()
        logging.getLogger().removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of ``logging``."""
        self._said.append(self.format(record))

    def check(self) -> None:
        """Raise AssertionError with all that was said since the last time."""
        said, self._said = self._said, []
        assert not said, "the replica logged an error: " + "\n".join(said)

    def _take(self, _: object, level: str, event: EventDict) -> EventDict:
        if level in LEVELS:
            self._said.append(str(dict(event)))
        raise structlog.DropEvent
