import asyncio

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from cluster.triton import client as module
from cluster.triton.client import TritonClient
from cluster.triton.repository import ModelSpec
from wire.errors import TailFailed
from wire.tensor_form import TensorForm

FORM = TensorForm.symbols((4, 8, 8))
BATCH = np.zeros((2, 4, 8, 8), np.uint8)


class Calls:
    """The seam of Triton's own client: a batch is answered when a test says so."""

    def __init__(self, _address):
        self.answer = asyncio.get_running_loop().create_future()
        self.cancelled = self.closed = False

    async def infer(self, _name, _inputs, **timeouts):
        assert not timeouts, "Triton dies of a call that meets its deadline, too"
        try:
            return await self.answer
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def close(self):
        self.closed = True


@pytest.fixture
def spec(tmp_path):
    return ModelSpec(name="model", graph=tmp_path / "graph.onnx", form=FORM, classes=10, max_batch=16)


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setattr(module.aio, "InferenceServerClient", Calls)


async def given_up(client, spec):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await client.infer(spec, BATCH)


async def test_whoever_gives_up_leaves_the_call_to_end_by_itself(calls, spec):
    client = TritonClient("triton:8001")
    await given_up(client, spec)
    assert not client._client.cancelled
    client._client.answer.set_exception(InferenceServerException("too late to matter"))
    await client.close()
    assert client._client.closed


async def test_closing_waits_for_the_last_calls_but_not_for_ever(calls, spec, monkeypatch):
    monkeypatch.setattr(module, "LAST_CALLS_S", 0.02)
    client = TritonClient("triton:8001")
    await given_up(client, spec)
    await client.close()
    assert client._client.closed
    client._client.answer.cancel()


async def test_a_batch_that_fails_is_a_failed_tail(calls, spec):
    client = TritonClient("triton:8001")
    client._client.answer.set_exception(InferenceServerException("out of memory"))
    with pytest.raises(TailFailed, match="Triton could not run model: out of memory"):
        await client.infer(spec, BATCH)
