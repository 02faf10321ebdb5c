"""The models that a Triton holds, and who uses them: the first user loads one, the last one's leaving unloads it.

Owns the users; Triton never evicts a model by itself. Imports no Ray.
"""

import asyncio
import logging
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

import psutil

from cluster.triton.repository import ModelSpec, write_model
from wire.errors import IsthmusError

LINGER_S: Final = 15.0
"""For so long a dead user keeps its models."""

log = logging.getLogger("isthmus.triton")


@dataclass(frozen=True, slots=True)
class ModelUser:
    """A replica on this machine, by the process that it lives in."""

    replica: str
    process_id: int
    started_s: float
    """When the process began: ids are given again."""

    @classmethod
    def here(cls, replica: str) -> Self:
        """Name a replica that lives in this process."""
        return cls(replica, os.getpid(), psutil.Process().create_time())

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        try:
            return psutil.Process(self.process_id).create_time() == self.started_s
        except psutil.NoSuchProcess:
            return False


class Loads(Protocol):
    """What can load and unload a model of the repository: a connection to Triton."""

    async def load(self, name: str) -> None:
        """Load it."""

    async def unload(self, name: str) -> None:
        """Unload it."""


class TritonModels:
    """Loads a model for its first user and unloads it after its last; asking twice counts once."""

    def __init__(self, repository: Path, client: Loads) -> None:
        self._repository, self._client = repository, client
        self._users: dict[str, set[ModelUser]] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._dead_since_s: dict[ModelUser, float] = {}
        # Models load side by side; whatever is done with one waits for what is done with it already.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def acquire(self, spec: ModelSpec, user: ModelUser) -> None:
        """Count a user; the first one loads the model.

        Raises:
            TailFailed: Triton cannot load it.
            BundleError: its graph is not what the bundle says.
        """
        async with self._locks[spec.name]:
            if not self._users.get(spec.name):
                await self._load(spec)
                self._specs[spec.name] = spec
            self._users.setdefault(spec.name, set()).add(user)

    async def release(self, name: str, user: ModelUser) -> None:
        """Let a user of a model go; the last one unloads it."""
        async with self._locks[name]:
            await self._release(name, {user})

    async def release_dead(self, now_s: float) -> None:
        """Let those go whose process ended without a word, a while after: their successors may want the same models."""
        self._dead_since_s = {
            user: self._dead_since_s.get(user, now_s) for user in set().union(*self._users.values()) if not user.alive
        }
        gone = {user for user, since_s in self._dead_since_s.items() if now_s - since_s >= LINGER_S}
        for name, users in list(self._users.items()):
            if dead := users & gone:
                log.warning("model.user_died %s: %s", name, ", ".join(user.replica for user in dead))
                async with self._locks[name]:
                    await self._release(name, dead)

    async def refresh(self, name: str) -> None:
        """Load a model anew, whose process died or hangs.

        Raises:
            IsthmusError: Triton cannot.
        """
        async with self._locks[name]:
            if spec := self._specs.get(name):
                await self._client.unload(name)
                await self._load(spec)

    async def reload(self, client: Loads) -> None:
        """Load all that has users again, in a Triton that was started again.

        A model that cannot be loaded has no users any more, so that who asks for it again hears why.
        """
        self._client = client
        await asyncio.gather(*map(self._load_again, list(self._specs.values())))

    async def _load_again(self, spec: ModelSpec) -> None:
        async with self._locks[spec.name]:
            try:
                await self._load(spec)
            except (IsthmusError, OSError) as error:
                log.error("model.lost %s: %s", spec.name, error)
                self._forget(spec.name)

    async def _load(self, spec: ModelSpec) -> None:
        await asyncio.to_thread(write_model, self._repository, spec)
        await self._client.load(spec.name)

    async def _release(self, name: str, users: set[ModelUser]) -> None:
        held = self._users.get(name, set())
        if not held:
            return
        held -= users
        if not held:
            self._forget(name)
            await self._client.unload(name)

    def _forget(self, name: str) -> None:
        self._users.pop(name, None)
        self._specs.pop(name, None)
