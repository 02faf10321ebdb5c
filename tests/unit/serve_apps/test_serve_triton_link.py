import asyncio
from typing import ClassVar

import numpy as np
import pytest
from triton_fakes import spec, user
from tritonclient.utils import InferenceServerException

from serve_apps import triton_link
from serve_apps.triton_link import TritonLink
from wire.errors import TailFailed, TritonUnavailable

BATCH = np.zeros((2, 1, 1, 1), np.uint8)


class FakeClient:
    """A connection to a Triton that may be gone."""

    faults: ClassVar = {}

    def __init__(self, address):
        self.address = address
        self.closed = asyncio.Event()

    async def infer(self, of, batch):
        fault = self.faults.get(self.address)
        if fault == "is cut":
            await self.closed.wait()
            raise asyncio.CancelledError  # as gRPC does to calls of a channel that is closed
        if fault == "hangs":
            await asyncio.Event().wait()
        if fault is not None:
            message, status = fault
            cause = InferenceServerException(message, status)
            raise TailFailed(f"Triton could not run {of.name}: {message}") from cause
        return np.full((len(batch), of.classes), 0.5, np.float32)

    async def close(self):
        self.closed.set()


class FakeHost:
    """Gives addresses in turn; ``away`` is how often it cannot be asked first."""

    def __init__(self):
        self.at = "first"
        self.away = 0
        self.acquired = []
        self.released = []
        self.complaints = []

    async def address(self):
        if self.away:
            self.away -= 1
            raise TritonUnavailable("the host is made again")
        return self.at

    async def acquire(self, of, by):
        self.acquired.append((self.at, of.name, by.replica))

    async def release(self, name, by):
        if self.away:
            raise TritonUnavailable("the host is made again")
        self.released.append(name)

    async def complain(self, address, name, what):
        self.complaints.append((address, name))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(triton_link, "TritonClient", FakeClient)
    monkeypatch.setattr(triton_link, "RETRY_S", 0.001)
    monkeypatch.setattr(triton_link, "HANG_S", 0.02)
    monkeypatch.setattr(FakeClient, "faults", {})


@pytest.fixture
def host():
    return FakeHost()


@pytest.fixture
async def link(host):
    async with TritonLink(host, user(1)) as link:
        await link.acquire(spec())
        yield link


async def answered(link):
    """Ask again and again until there is an answer, as agents do."""
    for _ in range(2000):
        try:
            return await link.infer(spec(), BATCH)
        except TailFailed:
            await asyncio.sleep(0.001)
    raise AssertionError("Triton was not found again")


async def test_a_batch_is_run_where_triton_is(link):
    assert (await link.infer(spec(), BATCH)).shape == (2, 3)


async def test_a_triton_that_died_is_found_where_it_came_back_with_what_was_loaded(link, host):
    FakeClient.faults["first"] = ("failed to connect", "StatusCode.UNAVAILABLE")
    host.at = "second"
    with pytest.raises(TailFailed, match="failed to connect"):
        await link.infer(spec(), BATCH)
    assert (await answered(link)).shape == (2, 3)
    assert link.client.address == "second"
    assert not link.away
    assert host.acquired == [("first", "model", "replica-1"), ("second", "model", "replica-1")]
    assert host.complaints == []


async def test_batches_are_refused_at_once_while_triton_is_away(link, host):
    FakeClient.faults["first"] = ("failed to connect", "StatusCode.UNAVAILABLE")
    host.away = 10**6
    for words in ("failed to connect", "is being brought back", "is being brought back"):
        with pytest.raises(TailFailed, match=words) as caught:
            await link.infer(spec(), BATCH)
        assert caught.value.retryable
    assert link.away


async def test_a_host_that_cannot_be_asked_is_asked_again(link, host):
    FakeClient.faults["first"] = ("failed to connect", "StatusCode.UNAVAILABLE")
    host.at, host.away = "second", 3
    assert (await answered(link)).shape == (2, 3)


async def test_a_model_that_does_not_answer_is_complained_of(link, host):
    FakeClient.faults["first"] = "hangs"
    host.at = "second"
    with pytest.raises(TailFailed, match="hangs"):
        await link.infer(spec(), BATCH)
    await answered(link)
    assert host.complaints == [("first", "model")]


async def test_a_model_whose_process_died_is_complained_of(link, host):
    FakeClient.faults["first"] = ("Stub process 'model' is not healthy.", "StatusCode.INTERNAL")
    with pytest.raises(TailFailed):
        await link.infer(spec(), BATCH)
    FakeClient.faults.clear()
    await answered(link)
    assert host.complaints == [("first", "model")]


async def test_a_batch_whose_connection_is_replaced_fails_and_whoever_asked_goes_on(link, host, monkeypatch):
    monkeypatch.setattr(triton_link, "HANG_S", 5.0)
    FakeClient.faults["first"] = "is cut"
    cut = asyncio.create_task(link.infer(spec(), BATCH))
    await asyncio.sleep(0)
    FakeClient.faults["first"] = ("failed to connect", "StatusCode.UNAVAILABLE")
    host.at = "second"
    await answered(link)
    with pytest.raises(TailFailed, match="went away"):
        await cut


async def test_whoever_asked_may_still_be_cancelled(link, monkeypatch):
    monkeypatch.setattr(triton_link, "HANG_S", 5.0)
    FakeClient.faults["first"] = "hangs"
    asked = asyncio.create_task(link.infer(spec(), BATCH))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_a_triton_that_is_where_it_was_keeps_its_connection(link, host):
    first = link.client
    FakeClient.faults["first"] = ("Stub process 'model' is not healthy.", "StatusCode.INTERNAL")
    with pytest.raises(TailFailed):
        await link.infer(spec(), BATCH)
    FakeClient.faults.clear()
    await answered(link)
    assert link.client is first
    assert not first.closed.is_set()


async def test_a_model_that_triton_forgot_is_loaded_again(link, host):
    FakeClient.faults["first"] = ("Request for unknown model: 'model' is not found", "StatusCode.NOT_FOUND")
    with pytest.raises(TailFailed):
        await link.infer(spec(), BATCH)
    FakeClient.faults.clear()
    await answered(link)
    assert len(host.acquired) == 2
    # Its keeper takes the model for loaded, if it did not see Triton start again.
    assert host.complaints == [("first", "model")]


async def test_a_batch_that_the_model_itself_fails_at_sends_nobody_looking(link, host):
    FakeClient.faults["first"] = ("unexpected shape", "StatusCode.INVALID_ARGUMENT")
    for _ in range(2):
        with pytest.raises(TailFailed, match="unexpected shape"):
            await link.infer(spec(), BATCH)
    assert len(host.acquired) == 1


async def test_what_was_given_back_is_not_loaded_again(link, host):
    await link.release("model")
    FakeClient.faults["first"] = ("failed to connect", "StatusCode.UNAVAILABLE")
    host.at = "second"
    await asyncio.gather(link.infer(spec(), BATCH), return_exceptions=True)
    await answered(link)
    assert len(host.acquired) == 1


async def test_giving_back_to_a_host_that_is_gone_is_no_fault(link, host):
    host.away = 1
    await link.release("model")
