"""Where a tail runs: on Triton, in this process, or nowhere.

Owns the seam between a tail replica and what computes. Imports no Ray.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cluster.triton.client import TritonClient
from cluster.triton.repository import ModelSpec
from serve_apps.triton_link import TritonLink
from wire.errors import TailFailed
from wire.tensor_form import Tensor

TailKind = Literal["triton", "onnxruntime", "noop", "triton-noop"]
"""``noop`` and ``triton-noop`` compute nothing; they measure the path without and with Triton."""

Probabilities = NDArray[np.float32]


class TailBackend(Protocol):
    """Runs one cluster graph on batches."""

    async def load(self) -> None:
        """Make the graph ready."""

    async def infer(self, batch: Tensor) -> Probabilities:
        """Map tensors (N, …) of the graph's form to probabilities (N, classes)."""

    async def unload(self) -> None:
        """Give back what ``load`` took."""


class TritonBackend:
    """A model on the node's Triton; ``acquire`` and ``release`` count its users."""

    def __init__(
        self,
        spec: ModelSpec,
        client: TritonClient | TritonLink,
        *,
        acquire: Callable[[ModelSpec], Awaitable[None]],
        release: Callable[[str], Awaitable[None]],
    ) -> None:
        self._spec, self._client, self._acquire, self._release = spec, client, acquire, release

    async def load(self) -> None:
        """Have Triton load the model, if no other replica has."""
        await self._acquire(self._spec)

    async def infer(self, batch: Tensor) -> Probabilities:
        """Make one Triton call for the batch."""
        return await self._client.infer(self._spec, batch)

    async def unload(self) -> None:
        """Give the model back."""
        await self._release(self._spec.name)


class OnnxBackend:
    """ONNX Runtime in this process, where there is no Triton."""

    def __init__(self, graph: Path, threads: int) -> None:
        self._graph, self._threads = graph, threads
        self._session: onnxruntime.InferenceSession | None = None

    async def load(self) -> None:
        """Load the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        self._session = await asyncio.to_thread(
            onnxruntime.InferenceSession, str(self._graph), options, providers=["CPUExecutionProvider"]
        )

    async def infer(self, batch: Tensor) -> Probabilities:
        """Run the batch in a thread, so that frames are received meanwhile."""
        session = self._session
        if session is None:
            raise TailFailed(f"{self._graph.name} is not loaded")
        name = session.get_inputs()[0].name
        try:
            (probabilities,) = await asyncio.to_thread(session.run, ["probabilities"], {name: batch})
        except Exception as error:
            raise TailFailed(f"ONNX Runtime could not run {self._graph.name}: {error}") from error
        return probabilities

    async def unload(self) -> None:
        """Drop the graph."""
        self._session = None


class NoopBackend:
    """Computes nothing: what is left is the cost of the path."""

    def __init__(self, classes: int) -> None:
        self._classes = classes

    async def load(self) -> None:
        """Do nothing."""

    async def infer(self, batch: Tensor) -> Probabilities:
        """Answer with zeros."""
        return np.zeros((len(batch), self._classes), np.float32)

    async def unload(self) -> None:
        """Do nothing."""
