import asyncio

import numpy as np
import pytest
from serve_fakes import FakeBackend, until

from serve_apps.batcher import Batcher
from wire.errors import DeadlineExceeded, Overloaded, TailFailed


def tensor(number):
    return np.array([number, 1, 2, 3], np.uint8)


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
async def batcher(backend):
    async with Batcher(backend, max_batch=3, max_waiting=6) as opened:
        yield opened


def submit(batcher, number, budget_s=60.0):
    return asyncio.create_task(batcher.submit(tensor(number), budget_s=budget_s))


async def busy(batcher, backend):
    """Submit a frame whose batch stays in the backend until it is let through."""
    backend.hold()
    task = submit(batcher, 0)
    await until(lambda: backend.batches)
    return task


def numbers(batch):
    return [int(row[0]) for row in batch]


async def test_a_lone_frame_is_computed_at_once_and_alone(batcher, backend):
    computed = await batcher.submit(tensor(7), budget_s=60.0)
    assert computed.probabilities.tolist() == [7.0, 1.0, 2.0, 3.0]
    assert computed.batch_size == 1
    assert computed.queue_s >= 0.0
    assert computed.compute_s >= 0.0
    assert [batch.shape for batch in backend.batches] == [(1, 4)]


async def test_frames_that_come_while_a_batch_is_computed_form_the_next_one_in_their_order(batcher, backend):
    first = await busy(batcher, backend)
    later = [submit(batcher, number) for number in (5, 6, 4)]
    await until(lambda: batcher.waiting == 3)
    backend.let_go()
    answers = await asyncio.gather(first, *later)
    assert [numbers(batch) for batch in backend.batches] == [[0], [5, 6, 4]]
    assert [answer.probabilities[0] for answer in answers] == [0, 5, 6, 4]
    assert [answer.batch_size for answer in answers] == [1, 3, 3, 3]


async def test_a_batch_holds_no_more_frames_than_it_may(batcher, backend):
    tasks = [await busy(batcher, backend)]
    tasks += [submit(batcher, number) for number in range(1, 6)]
    await until(lambda: batcher.waiting == 5)
    backend.let_go()
    answers = await asyncio.gather(*tasks)
    assert [numbers(batch) for batch in backend.batches] == [[0], [1, 2, 3], [4, 5]]
    assert [answer.probabilities[0] for answer in answers] == list(range(6))
    assert batcher.waiting == 0


async def test_more_frames_than_may_wait_are_refused_and_may_be_sent_again(batcher, backend):
    tasks = [await busy(batcher, backend)]
    tasks += [submit(batcher, number) for number in range(1, 7)]
    await until(lambda: batcher.waiting == 6)
    with pytest.raises(Overloaded, match="6 frames wait") as caught:
        await batcher.submit(tensor(9), budget_s=60.0)
    assert caught.value.retryable
    backend.let_go()
    await asyncio.gather(*tasks)
    assert (await batcher.submit(tensor(9), budget_s=60.0)).probabilities[0] == 9


async def test_a_frame_whose_budget_ran_out_while_it_waited_never_reaches_the_backend(batcher, backend):
    first = await busy(batcher, backend)
    late, punctual = submit(batcher, 1, budget_s=0.0), submit(batcher, 2)
    await until(lambda: batcher.waiting == 2)
    await asyncio.sleep(0.002)
    backend.let_go()
    with pytest.raises(DeadlineExceeded):
        await late
    assert (await punctual).batch_size == 1
    await first
    assert [numbers(batch) for batch in backend.batches] == [[0], [2]]


async def test_the_frames_of_a_late_batch_make_room_for_those_behind_them(batcher, backend):
    first = await busy(batcher, backend)
    late = [submit(batcher, number, budget_s=0.0) for number in (1, 2, 3)]
    punctual = [submit(batcher, number) for number in (4, 5)]
    await until(lambda: batcher.waiting == 5)
    await asyncio.sleep(0.002)
    backend.let_go()
    answers = await asyncio.gather(first, *late, *punctual, return_exceptions=True)
    assert [type(answer) for answer in answers[1:4]] == [DeadlineExceeded] * 3
    assert numbers(backend.batches[1]) == [4, 5]


@pytest.mark.parametrize("fault", [RuntimeError("out of memory"), TailFailed("Triton is gone")])
async def test_a_batch_that_fails_fails_its_own_frames_and_no_others(batcher, backend, fault):
    first = await busy(batcher, backend)
    together = [submit(batcher, number) for number in (1, 2)]
    await until(lambda: batcher.waiting == 2)
    backend.let_one_through()
    await first
    backend.fails_with = fault
    backend.let_one_through()
    answers = await asyncio.gather(*together, return_exceptions=True)
    assert [type(answer) for answer in answers] == [TailFailed] * 2
    assert str(fault) in str(answers[0])
    backend.fails_with = None
    backend.let_go()
    assert (await batcher.submit(tensor(9), budget_s=60.0)).probabilities[0] == 9


async def test_whoever_stops_waiting_is_left_out_of_the_batch_and_disturbs_nobody(batcher, backend):
    first = await busy(batcher, backend)
    gone, stays = submit(batcher, 1), submit(batcher, 2)
    await until(lambda: batcher.waiting == 2)
    gone.cancel()
    backend.let_go()
    assert (await stays).probabilities[0] == 2
    await first
    assert gone.cancelled()
    assert [numbers(batch) for batch in backend.batches] == [[0], [2]]


async def test_whoever_stops_waiting_while_it_is_computed_disturbs_nobody(batcher, backend):
    first = await busy(batcher, backend)
    gone, stays = submit(batcher, 1), submit(batcher, 2)
    await until(lambda: batcher.waiting == 2)
    backend.let_one_through()
    await until(lambda: len(backend.batches) == 2)
    gone.cancel()
    backend.let_go()
    assert (await stays).batch_size == 2
    await first
    assert (await batcher.submit(tensor(9), budget_s=60.0)).probabilities[0] == 9


async def test_the_backend_is_loaded_on_entry_and_given_back_on_exit(backend):
    async with Batcher(backend, max_batch=3, max_waiting=6):
        assert backend.loaded == 1
    assert backend.loaded == 0


async def test_what_still_waits_when_the_batcher_closes_is_failed_so_that_it_can_go_elsewhere(backend):
    async with Batcher(backend, max_batch=3, max_waiting=6) as batcher:
        await busy(batcher, backend)
        waiting = [submit(batcher, number) for number in (1, 2)]
        await until(lambda: batcher.waiting == 2)
    for task in waiting:
        with pytest.raises(TailFailed, match="stops") as caught:
            await task
        assert caught.value.retryable
