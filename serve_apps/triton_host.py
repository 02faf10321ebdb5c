"""The Ray actor that owns a node's Triton: one server, shared by every tail replica on the node.

Owns how the actor is made and asked; what it does is ``TritonKeeper``'s. One of the few files that import Ray.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from cluster.triton.client import TritonClient
from cluster.triton.external import ExternalServer, ExternalTriton
from cluster.triton.repository import ModelSpec
from cluster.triton.server import TritonServer
from serve_apps.triton_keeper import TritonKeeper
from serve_apps.triton_models import ModelUser
from wire.errors import IsthmusError, TritonUnavailable

CALL_TIMEOUT_S: Final = 180.0
"""Triton may be starting, and loading what it had."""


class TritonHost:
    """Starts Triton when it is made, keeps it running, and stops it when it is told to or dies.

    With ``external`` it keeps that one's models, and the folder is not used.
    """

    async def __init__(self, folder: str, external: ExternalTriton | None) -> None:  # type: ignore[misc]  # Ray awaits it
        if external is None:
            self._keeper = TritonKeeper(TritonServer(Path(folder)))
        else:
            key = external.key()
            self._keeper = TritonKeeper(
                ExternalServer(external), connect=lambda address: TritonClient(address, key=key)
            )
        await self._keeper.__aenter__()

    async def address(self) -> str:
        """Give host and port of Triton's gRPC endpoint."""
        return await self._keeper.address()

    async def acquire(self, spec: ModelSpec, user: ModelUser) -> None:
        """Have a model ready for a user."""
        await self._keeper.acquire(spec, user)

    async def release(self, name: str, user: ModelUser) -> None:
        """Let one user of a model go."""
        await self._keeper.release(name, user)

    async def complain(self, address: str, name: str, what: str) -> None:
        """Say that a model of the Triton at an address does not answer."""
        await self._keeper.complain(address, name, what)

    async def restarts(self) -> int:
        """Say how often Triton was started again."""
        return self._keeper.restarts

    async def stop(self) -> None:
        """Stop Triton."""
        await self._keeper.__aexit__()


TRITON_HOST: Final[Any] = ray.remote(num_cpus=0, max_restarts=-1)(TritonHost)
"""Ray makes it again where its process dies, and Triton dies with it: replicas then load again what they had."""


class HostCalls:
    """The host as replicas ask it: ``find`` gives the actor, and Ray's errors become ours."""

    def __init__(self, find: Callable[[], ActorHandle[Any]]) -> None:
        self._find = find

    async def address(self) -> str:
        """Give host and port of Triton, once it is up."""
        return await self._ask(lambda host: host.address.remote())

    async def acquire(self, spec: ModelSpec, user: ModelUser) -> None:
        """Have a model ready."""
        await self._ask(lambda host: host.acquire.remote(spec, user))

    async def release(self, name: str, user: ModelUser) -> None:
        """Let a model go."""
        await self._ask(lambda host: host.release.remote(name, user))

    async def complain(self, address: str, name: str, what: str) -> None:
        """Say that a model of the Triton at an address does not answer, and wait until something was done."""
        await self._ask(lambda host: host.complain.remote(address, name, what))

    async def _ask(self, call: Callable[[ActorHandle[Any]], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                # Finding it may make it, which asks Ray and waits.
                return await call(await asyncio.to_thread(self._find))
        except IsthmusError:
            raise
        except (RayError, TimeoutError, ValueError) as error:  # a ValueError: no actor of that name
            raise TritonUnavailable(
                f"the host of this node's Triton cannot be asked: {error}", mend="it is made again"
            ) from error
