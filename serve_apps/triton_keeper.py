"""Keeps a Triton running: notices that it died or hangs, starts it again, and loads what has users.

Owns the server and the watch over it; one that somebody else runs (``cluster.triton.external``) is waited for where
another would be started. Imports no Ray.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, Self

from cluster.triton.client import TritonClient
from cluster.triton.repository import ModelSpec
from serve_apps.triton_models import Loads, ModelUser, TritonModels
from serve_apps.triton_patience import TritonPatience
from wire.errors import IsthmusError, TritonUnavailable

LOOK_S: Final = 0.25
"""How often it is seen whether the process still runs."""
ASK_EVERY_S: Final = 1.0
ASK_TIMEOUT_S: Final = 2.0
SILENCES: Final = 2
"""So many asked in vain, one after the other, are a Triton that hangs: on a machine that is busy one proves nothing."""
REFRESH_S: Final = 30.0
LOAD_S: Final = 120.0
"""This and the other waits are ``TritonPatience``'s to stretch."""
FRESH_S: Final = 3.0
RELOAD_S: Final = 120.0
FIRST_RETRY_S: Final = 0.5
LAST_RETRY_S: Final = 10.0

log = logging.getLogger("isthmus.triton")


class Server(Protocol):
    """A Triton to be kept: our own child process, or somebody else's."""

    @property
    def repository(self) -> Path:
        """The folder of its models."""

    @property
    def address(self) -> str:
        """Host and port of its gRPC endpoint."""

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as can be told without asking."""

    def start(self) -> None:
        """Return once it is ready; raises TritonUnavailable if it does not become so."""

    def stop(self) -> None:
        """End it."""

    def kill(self) -> None:
        """End it at once, though it may hang, or be dead."""

    def responds(self, *, timeout_s: float) -> bool:
        """Ask whether it is alive, and tell whether it answered in time."""


class Connection(Loads, Protocol):
    """A connection to Triton that loads models."""

    async def loaded(self) -> list[str]:
        """List the models that are loaded."""

    async def close(self) -> None:
        """Close it."""


class TritonKeeper:
    """One Triton and its models; an async context that keeps it running while it is open."""

    def __init__(self, server: Server, *, connect: Callable[[str], Connection] = TritonClient) -> None:
        self._server, self._connect = server, connect
        self._up = asyncio.Event()
        self._complaint: str | None = None
        self._refreshed_s: dict[str, float] = {}
        self._watch: asyncio.Task[None] | None = None
        self._patience = TritonPatience()
        self.restarts = 0

    async def __aenter__(self) -> Self:
        """Start Triton; raises TritonUnavailable if there is none for this platform, or it does not start.

        One that is somebody else's may also refuse its models, which is a TailFailed.
        """
        await asyncio.to_thread(self._server.start)
        self._client = self._connect(self._server.address)
        for name in await self._client.loaded():
            await self._client.unload(name)  # of a keeper before us, whose users nobody knows
        self._models = TritonModels(self._server.repository, self._client)
        self._up.set()
        self._watch = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._client.close()
        await asyncio.to_thread(self._server.stop)

    async def address(self) -> str:
        """Give host and port of Triton's gRPC endpoint, once it is up."""
        if not self._server.alive:
            self._up.clear()  # who asks has just seen it die; the watch is about to
        await self._up.wait()
        return self._server.address

    async def acquire(self, spec: ModelSpec, user: ModelUser) -> None:
        """Have a model ready for a user; as ``TritonModels.acquire``.

        Raises:
            TritonUnavailable: it is not loaded in time; Triton is started again.
        """
        await self._up.wait()
        try:
            async with asyncio.timeout(within_s := self._stretched(LOAD_S)):
                await self._models.acquire(spec, user)
        except TimeoutError as error:
            fault = f"{spec.name} was not loaded within {within_s:.0f} s"
            self._give_up(fault)
            raise TritonUnavailable(fault, mend="Triton is started again") from error

    async def release(self, name: str, user: ModelUser) -> None:
        """Let a user of a model go."""
        await self._up.wait()
        await self._models.release(name, user)

    async def complain(self, address: str, name: str, what: str) -> None:
        """Take it from a user that a model of the Triton at ``address`` does not answer.

        The model is loaded anew; where that does not go, Triton is started again. One that runs elsewhere has taken its
        place already, and a model that was loaded anew just now has not been seen to fail.
        """
        if not self._up.is_set() or address != self._server.address:
            return
        if time.monotonic() - self._refreshed_s.get(name, float("-inf")) < FRESH_S:
            return
        self._refreshed_s[name] = float("inf")  # others that complain meanwhile need not
        log.warning("model.refreshed %s: %s", name, what)
        try:
            async with asyncio.timeout(self._stretched(REFRESH_S)):
                await self._models.refresh(name)
        except (TimeoutError, IsthmusError, OSError) as error:
            log.warning("model.stuck %s: %s", name, error)
            self._give_up(what)
        finally:
            self._refreshed_s[name] = time.monotonic()

    def _stretched(self, wait_s: float) -> float:
        return wait_s * self._patience.factor(now_s=time.monotonic())

    def _give_up(self, why: str) -> None:
        self._complaint = why
        self._up.clear()

    async def _keep(self) -> None:
        while True:
            fault = await self._fault()
            log.error("triton.lost: %s", fault)
            self._up.clear()
            if self._server.alive:
                self._patience.ended_for_slowness(now_s=time.monotonic())
            wait_s = FIRST_RETRY_S
            while not await self._brought_back():
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LAST_RETRY_S)
            self._complaint = None
            self.restarts += 1
            self._up.set()
            log.warning("triton.back at %s", self._server.address)

    async def _fault(self) -> str:
        """Watch until something is wrong, and say what."""
        loop = asyncio.get_running_loop()
        silences, asked_s = 0, loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._server.alive:
                return "it ended"
            if self._complaint is not None:
                return self._complaint
            if loop.time() - asked_s < ASK_EVERY_S:
                continue
            responds = await asyncio.to_thread(self._server.responds, timeout_s=self._stretched(ASK_TIMEOUT_S))
            silences = 0 if responds else silences + 1
            if silences == SILENCES:
                return f"it did not answer {silences} times"
            asked_s = loop.time()
            if responds:
                with contextlib.suppress(Exception):  # the next look finds what ails it
                    await self._models.release_dead(asked_s)

    async def _brought_back(self) -> bool:
        """Start another with all that has users; tells whether it went, and says why if it did not."""
        try:
            await asyncio.to_thread(self._server.kill)
            await asyncio.to_thread(self._server.start)
            await self._client.close()
            self._client = self._connect(self._server.address)
            async with asyncio.timeout(self._stretched(RELOAD_S)):
                await self._models.reload(self._client)
        except Exception:  # whatever it is (no room on the disk, say), it may be over the next time
            log.exception("triton.not_back")
            return False
        return True
