"""The Ray actor that owns a node's Triton: one server, shared by every tail replica on the node.

Owns the count of a model's users; Triton never evicts a model by itself. One of the few files that import Ray.
"""

import asyncio
from pathlib import Path
from typing import Any, Final

import ray

from cluster.triton.client import TritonClient
from cluster.triton.repository import ModelSpec, write_model
from cluster.triton.server import TritonServer


class TritonModels:
    """Loads a model for its first user and unloads it after its last."""

    def __init__(self, repository: Path, client: TritonClient) -> None:
        self._repository, self._client = repository, client
        self._users: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def acquire(self, spec: ModelSpec) -> None:
        """Count one user more; the first one loads the model."""
        async with self._lock:
            if not self._users.get(spec.name):
                await asyncio.to_thread(write_model, self._repository, spec)
                await self._client.load(spec.name)
            self._users[spec.name] = self._users.get(spec.name, 0) + 1

    async def release(self, name: str) -> None:
        """Count one user less; the last one unloads the model."""
        async with self._lock:
            users = self._users.get(name, 0)
            if users > 1:
                self._users[name] = users - 1
            elif users == 1:
                del self._users[name]
                await self._client.unload(name)


class TritonHost:
    """Starts Triton when it is made, and stops it when it is told to or dies."""

    async def __init__(self, folder: str) -> None:  # type: ignore[misc]  # Ray awaits it
        self._server = TritonServer(Path(folder))
        await asyncio.to_thread(self._server.start)
        self._client = TritonClient(self._server.address)
        self._models = TritonModels(self._server.repository, self._client)

    async def address(self) -> str:
        """Give host and port of Triton's gRPC endpoint."""
        return self._server.address

    async def acquire(self, spec: ModelSpec) -> None:
        """Have a model ready for one user more."""
        await self._models.acquire(spec)

    async def release(self, name: str) -> None:
        """Let one user of a model go."""
        await self._models.release(name)

    async def stop(self) -> None:
        """Stop Triton."""
        await self._client.close()
        await asyncio.to_thread(self._server.stop)


TRITON_HOST: Final[Any] = ray.remote(num_cpus=0)(TritonHost)
