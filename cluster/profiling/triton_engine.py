"""A Triton of our own for the time of a measurement: cluster graphs run as the replicas run them, calls and all.

Owns the server and its event loop. Imports no Ray.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Final, Self

from cluster.profiling.cluster_options import Engine
from cluster.triton.client import TritonClient
from cluster.triton.repository import ModelSpec, write_model
from cluster.triton.server import TritonServer
from wire.tensor_form import Tensor, TensorForm

THREADS_VARIABLE: Final = "ISTHMUS_TAIL_THREADS"
"""By which Triton's models learn how many threads a session may take."""


class TritonEngine(Engine):
    """The embedded Triton, with files in ``folder``; graphs give ``classes`` probabilities a frame."""

    name = "triton"

    def __init__(self, folder: Path, *, threads: int, classes: int, most_batch: int) -> None:
        self.threads, self.clock = threads, perf_counter
        self._classes, self._most_batch = classes, most_batch
        self._server = TritonServer(folder)
        self._loop = asyncio.Runner()
        self._models = 0

    def __enter__(self) -> Self:
        """Start Triton; raises TritonUnavailable if there is none for this platform."""
        os.environ[THREADS_VARIABLE] = str(self.threads)
        self._server.start()
        self._client = self._loop.run(self._connect())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run(self._client.close())
        self._loop.close()
        self._server.stop()

    def open(self, graph: Path, form: TensorForm) -> Callable[[Tensor], object]:
        """Have Triton load a graph; raises TailFailed if it refuses."""
        spec = ModelSpec(f"graph-{self._models}", graph, form, self._classes, self._most_batch)
        self._models += 1
        write_model(self._server.repository, spec)
        self._loop.run(self._client.load(spec.name))
        return lambda batch: self._loop.run(self._client.infer(spec, batch))

    async def _connect(self) -> TritonClient:
        return TritonClient(self._server.address)
