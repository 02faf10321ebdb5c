"""A rolling update: the cluster serves a new bundle beside the old one until every agent has moved.

Owns the steps. How bundles are deployed, and how far the replicas are, is given; imports no Ray.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from wire.bundle import Bundle
from wire.errors import BundleError, IsthmusError, Overloaded, SettingError
from wire.ids import BundleDigest

LOOK_EVERY_S: Final = 0.5
QUIET_S: Final = 5.0
"""The old bundle is dropped when nobody has used it for so long: an agent may be between two streams."""
GIVE_UP_S: Final = 120.0
"""A replica that does not serve the new bundle after so long never will."""

Deploy = Callable[[Sequence[str]], Awaitable[None]]
"""Has the cluster serve the bundles in these folders, the newest first, and comes back when that has begun."""
Behind = Callable[[BundleDigest], tuple[int, int, tuple[str, ...]]]
"""Gives how many replicas do not serve a bundle yet, how many streams use older ones, and what went wrong."""

State = Literal["idle", "loading", "moving", "done", "failed"]

log = logging.getLogger("isthmus.control")


@dataclass(slots=True)
class UpdateStatus:
    """How far an update is."""

    state: State = "idle"
    bundle: str = ""
    replicas_left: int = 0
    """Replicas that do not serve the new bundle yet."""
    streams_left: int = 0
    """Streams that still use the old one."""
    error: str = ""

    def as_plain(self) -> dict[str, Any]:
        """Turn into what goes over HTTP."""
        return {name: getattr(self, name) for name in self.__slots__}


class BundleUpdate:
    """At most one update at a time."""

    def __init__(self, deploy: Deploy, behind: Behind) -> None:
        self._deploy, self._behind = deploy, behind
        self._task: asyncio.Task[None] | None = None
        self.status = UpdateStatus()

    async def begin(self, folder: str, now: Sequence[str], *, within_s: float) -> None:
        """Begin to serve the bundle in a folder beside those served now, which are dropped after ``within_s`` at most.

        Raises:
            BundleError: it is no whole bundle, or not one that the agents' frames fit.
            Overloaded: another update is under way.
        """
        if self._task is not None and not self._task.done():
            raise Overloaded("another update is under way", mend="wait until GET /v1/update says that it is done")
        new = await asyncio.to_thread(_checked, folder, now[0])
        self.status = UpdateStatus("loading", new.digest)
        self._task = asyncio.create_task(self._run(new.digest, folder, now, within_s))

    async def _run(self, digest: BundleDigest, folder: str, now: Sequence[str], within_s: float) -> None:
        try:
            await self._deploy([folder, *now])
            await self._until_loaded(digest)
            self.status.state = "moving"
            await self._until_moved(digest, within_s)
            await self._deploy([folder])
            self.status.state = "done"
            log.info("bundle.updated to %s", digest[:12])
        except IsthmusError as error:
            await self._go_back(now, error.message)
        except Exception as error:
            log.exception("bundle.update_failed")
            await self._go_back(now, repr(error))

    async def _until_loaded(self, digest: BundleDigest) -> None:
        until_s = time.monotonic() + GIVE_UP_S
        while True:
            self.status.replicas_left, self.status.streams_left, faults = self._behind(digest)
            if faults:
                raise BundleError(faults[0])
            if self.status.replicas_left == 0:
                return
            if time.monotonic() > until_s:
                raise BundleError(f"{self.status.replicas_left} replicas did not serve it within {GIVE_UP_S:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _until_moved(self, digest: BundleDigest, within_s: float) -> None:
        begun_s = used_s = time.monotonic()
        while (now_s := time.monotonic()) - begun_s < within_s:
            self.status.replicas_left, self.status.streams_left, _ = self._behind(digest)
            if self.status.streams_left or self.status.replicas_left:
                used_s = now_s
            elif now_s - used_s >= QUIET_S:
                return
            await asyncio.sleep(LOOK_EVERY_S)
        log.warning("bundle.old_dropped while %d streams used it", self.status.streams_left)

    async def _go_back(self, now: Sequence[str], reason: str) -> None:
        """Serve what was served before."""
        self.status.state, self.status.error = "failed", reason
        log.error("bundle.update_failed: %s", reason)
        try:
            await self._deploy(now)
        except Exception:
            log.exception("bundle.not_taken_back")


def _checked(folder: str, now: str) -> Bundle:
    """Open both sides of a bundle, and see that it can take the other's place."""
    path = Path(folder)
    if not path.is_absolute():
        raise SettingError("the bundle's folder must be an absolute path", mend="every node has to see it there")
    Bundle.open(path, "device")
    new = Bundle.open(path, "cluster")
    old = Bundle.open(Path(now), "cluster")
    if new.manifest.input != old.manifest.input:
        raise BundleError(
            "the new bundle takes frames of another size, which running agents could not send",
            mend="stop the cluster and start it with the new bundle",
        )
    return new
