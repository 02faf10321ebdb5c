"""What a tail replica asks of Triton: load a model, run a batch, give the model back.

Owns the gRPC client and the translation of its errors.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from tritonclient import utils
from tritonclient.grpc import aio

from cluster.triton.repository import DATATYPES, ModelSpec
from wire.errors import TailFailed
from wire.tensor_form import Tensor

LAST_CALLS_S: Final = 2.0
STATISTICS_TIMEOUT_S = 2.0
UNLOAD_TIMEOUT_S: Final = 10.0
UNLOAD_LOOK_S: Final = 0.05
GONE: Final = "UNAVAILABLE"
"""The state of a model that Triton knows of and does not hold."""
KEY_NAME: Final = "isthmus-key"
"""What ``--grpc-restricted-protocol=model-repository:isthmus-key=…`` calls the key."""
KEY_HEADER: Final = f"triton-grpc-protocol-{KEY_NAME}"


@dataclass(frozen=True, slots=True)
class ModelTotals:
    """What Triton counted of some models since they were loaded (its ``nv_inference_*``), all together."""

    batches: int = 0
    """Requests that were answered; one is a whole batch of a replica's."""
    queue_s: float = 0.0
    compute_s: float = 0.0
    all_compute_s: float = 0.0
    """Of all the models that this Triton has, whoever uses them."""


class TritonClient:
    """One gRPC connection to one Triton."""

    def __init__(self, address: str, *, key: str | None = None) -> None:
        """Connect when something is asked; ``key`` is of a Triton that lets not everybody load models."""
        self._client = aio.InferenceServerClient(address)
        self._calls: set[asyncio.Future[Any]] = set()
        self._key = {} if key is None else {KEY_HEADER: key}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, once the batches that are on the way were answered or it took too long."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=LAST_CALLS_S)
        await self._client.close()

    async def load(self, name: str) -> None:
        """Load a model that lies in the repository.

        Raises:
            TailFailed: Triton refuses it.
        """
        try:
            await self._client.load_model(name, headers=self._key)
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton cannot load {name}: {error.message()}") from error

    async def unload(self, name: str) -> None:
        """Unload a model, and wait until it is gone.

        Triton answers before that, and one that is loaded again meanwhile was seen to hang.

        Raises:
            TailFailed: Triton refuses it, or the model does not go.
        """
        try:
            await self._client.unload_model(name, headers=self._key)
            async with asyncio.timeout(UNLOAD_TIMEOUT_S):
                while (await self._states()).get(name, GONE) != GONE:  # noqa: ASYNC110 - Triton tells nobody
                    await asyncio.sleep(UNLOAD_LOOK_S)
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton cannot unload {name}: {error.message()}") from error
        except TimeoutError as error:
            raise TailFailed(f"Triton has not unloaded {name} within {UNLOAD_TIMEOUT_S:.0f} s") from error

    async def loaded(self) -> list[str]:
        """List the models that are loaded.

        Raises:
            TailFailed: Triton is gone, or refuses to say.
        """
        try:
            return [name for name, state in (await self._states()).items() if state == "READY"]
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton does not list its models: {error.message()}") from error

    async def _states(self) -> dict[str, str]:
        index = await self._client.get_model_repository_index(headers=self._key)
        return {model.name: model.state for model in index.models}

    async def infer(self, spec: ModelSpec, batch: Tensor) -> NDArray[np.float32]:
        """Run a batch (N, …) of the model's form and give probabilities (N, classes).

        Whoever is cancelled while it waits leaves the call to end by itself: Triton before 25.02 may die of a call that
        is cancelled or meets its deadline (issues 7368 and 8034 of triton-inference-server/server).

        Raises:
            TailFailed: Triton is gone, or the model failed.
        """
        tensor = aio.InferInput(spec.form.name, list(batch.shape), DATATYPES[spec.form.dtype])
        tensor.set_data_from_numpy(batch)
        call = asyncio.ensure_future(self._client.infer(spec.name, [tensor]))
        self._calls.add(call)
        call.add_done_callback(self._ended)
        try:
            response = await asyncio.shield(call)
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton could not run {spec.name}: {error.message()}") from error
        return response.as_numpy("probabilities")

    def _ended(self, call: asyncio.Future[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # nobody may be there any more to hear of it

    async def totals(self, names: Collection[str]) -> ModelTotals:
        """Read Triton's statistics of the models of these names.

        Raises:
            TailFailed: Triton is gone or late.
        """
        try:
            answer = await self._client.get_inference_statistics(client_timeout=STATISTICS_TIMEOUT_S)
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton gave no statistics: {error.message()}") from error
        ours = [model.inference_stats for model in answer.model_stats if model.name in names]
        return ModelTotals(
            batches=sum(stats.success.count for stats in ours),
            queue_s=sum(stats.queue.ns for stats in ours) / 1e9,
            compute_s=sum(map(_compute_ns, ours)) / 1e9,
            all_compute_s=sum(_compute_ns(model.inference_stats) for model in answer.model_stats) / 1e9,
        )


def _compute_ns(stats: Any) -> int:
    return int(stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns)
