"""What a tail replica asks of Triton: load a model, run a batch, give the model back.

Owns the gRPC client and the translation of its errors.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from tritonclient import utils
from tritonclient.grpc import aio

from cluster.triton.repository import DATATYPES, ModelSpec
from wire.errors import TailFailed
from wire.tensor_form import Tensor

INFER_TIMEOUT_S = 30.0


class TritonClient:
    """One gRPC connection to one Triton."""

    def __init__(self, address: str) -> None:
        self._client = aio.InferenceServerClient(address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def load(self, name: str) -> None:
        """Load a model that lies in the repository.

        Raises:
            TailFailed: Triton refuses it.
        """
        try:
            await self._client.load_model(name)
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton cannot load {name}: {error.message()}") from error

    async def unload(self, name: str) -> None:
        """Unload a model."""
        try:
            await self._client.unload_model(name)
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton cannot unload {name}: {error.message()}") from error

    async def infer(self, spec: ModelSpec, batch: Tensor) -> NDArray[np.float32]:
        """Run a batch (N, …) of the model's form and give probabilities (N, classes).

        Raises:
            TailFailed: Triton is gone, late, or the model failed.
        """
        tensor = aio.InferInput(spec.form.name, list(batch.shape), DATATYPES[spec.form.dtype])
        tensor.set_data_from_numpy(batch)
        try:
            response = await self._client.infer(spec.name, [tensor], client_timeout=INFER_TIMEOUT_S)
        except utils.InferenceServerException as error:
            raise TailFailed(f"Triton could not run {spec.name}: {error.message()}") from error
        return response.as_numpy("probabilities")
