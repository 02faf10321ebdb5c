"""A replica's way to its node's Triton: refuses at once while Triton is away, and finds it again by itself.

Owns the connection, and what this replica has loaded. Imports no Ray: how the host is asked is given.
"""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from cluster.triton.client import TritonClient
from cluster.triton.repository import ModelSpec
from serve_apps.triton_models import ModelUser
from wire.errors import IsthmusError, TailFailed
from wire.tensor_form import Tensor

HANG_S: Final = 10.0
"""A batch that takes longer than this is not computed any more: the slowest takes less than 1 s."""
RETRY_S: Final = 0.25
_GONE: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
_LOST: Final = ("unknown model", "not ready", "no available version")
"""What Triton says of a model that it does not have: it was started again, and forgot. Its keeper may not have noticed,
where somebody else started it."""
_DEAD: Final = ("stub process",)
"""What it says of one whose process died."""

log = logging.getLogger("isthmus.tail")


class Host(Protocol):
    """What owns the node's Triton, wherever it lives; each call raises TritonUnavailable if it cannot be asked."""

    async def address(self) -> str:
        """Give host and port of Triton, once it is up."""

    async def acquire(self, spec: ModelSpec, user: ModelUser) -> None:
        """Have a model ready."""

    async def release(self, name: str, user: ModelUser) -> None:
        """Let a model go."""

    async def complain(self, address: str, name: str, what: str) -> None:
        """Say that a model of the Triton at an address does not answer, and wait until something was done."""


class TritonLink:
    """Runs batches on a node's Triton, which may die and come back elsewhere; an async context."""

    def __init__(self, host: Host, user: ModelUser) -> None:
        self._host, self._user = host, user
        self._specs: dict[str, ModelSpec] = {}
        self._client: TritonClient | None = None
        self._address = ""
        self._mending: asyncio.Task[None] | None = None
        self._why = ""

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    @property
    def client(self) -> TritonClient:
        """The connection now in use."""
        assert self._client is not None, "enter the link first"
        return self._client

    @property
    def away(self) -> bool:
        """Whether Triton is being looked for."""
        return self._mending is not None

    async def acquire(self, spec: ModelSpec) -> None:
        """Have a model ready, and keep it so."""
        await self._host.acquire(spec, self._user)
        self._specs[spec.name] = spec

    async def release(self, name: str) -> None:
        """Let a model go; a host that is gone has forgotten us, or will."""
        self._specs.pop(name, None)
        with contextlib.suppress(IsthmusError):
            await self._host.release(name, self._user)

    async def infer(self, spec: ModelSpec, batch: Tensor) -> NDArray[np.float32]:
        """Run a batch (N, …) of the model's form and give probabilities (N, classes).

        Raises:
            TailFailed: Triton is away or hangs (it is looked for from then on), or the model failed.
        """
        if self._mending is not None:
            raise TailFailed(f"Triton is being brought back: {self._why}")
        client = self.client
        try:
            async with asyncio.timeout(HANG_S):
                return await client.infer(spec, batch)
        except asyncio.CancelledError:
            if client is self._client or _is_cancelled():
                raise
            # The connection was replaced meanwhile; gRPC calls that cancelled.
            raise TailFailed("Triton went away while the batch was computed") from None
        except TimeoutError as error:
            self._mend(client, f"{spec.name} gave no answer for {HANG_S:.0f} s", suspect=spec.name)
            raise TailFailed(f"Triton hangs: {self._why}") from error
        except TailFailed as error:
            if _is_away(error):
                self._mend(client, error.message, suspect=spec.name if _says(error, (*_LOST, *_DEAD)) else None)
            raise

    def _mend(self, client: TritonClient, why: str, *, suspect: str | None) -> None:
        if self._mending is not None or client is not self._client:
            return  # it is done, or was since
        self._why = why
        log.warning("triton.away: %s", why)
        self._mending = asyncio.create_task(self._find_again(suspect))

    async def _find_again(self, suspect: str | None) -> None:
        while True:
            try:
                if suspect is not None:
                    await self._host.complain(self._address, suspect, self._why)
                    suspect = None
                await self._connect()
                break
            except IsthmusError as error:
                self._why = error.message
                await asyncio.sleep(RETRY_S)
        self._mending = None
        log.warning("triton.found at %s", self._address)

    async def _connect(self) -> None:
        """Connect to where Triton is now, and have there what we had."""
        address = await self._host.address()
        for spec in list(self._specs.values()):
            await self._host.acquire(spec, self._user)
        if address == self._address:
            return
        old, self._client, self._address = self._client, TritonClient(address), address
        if old is not None:
            await old.close()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_away(error: TailFailed) -> bool:
    cause = error.__cause__
    if not isinstance(cause, InferenceServerException):
        return False
    return any(code in str(cause.status()) for code in _GONE) or _says(error, (*_LOST, *_DEAD))


def _says(error: TailFailed, words: tuple[str, ...]) -> bool:
    return any(each in error.message.lower() for each in words)
