import asyncio

import numpy as np
import pytest
from serve_fakes import FakeBackend, until

from serve_apps.batcher import Batcher
from wire.errors import CorruptBitstream, DeadlineExceeded, Overloaded, TailFailed


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
    """Submit a frame of a device that has no other."""
    return asyncio.create_task(batcher.submit(tensor(number), budget_s=budget_s, device=f"camera {number}"))


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


async def test_a_frame_whose_budget_runs_out_while_it_waits_is_told_so_while_the_batch_before_it_is_computed(
    batcher, backend
):
    first = await busy(batcher, backend)
    late, punctual = submit(batcher, 1, budget_s=0.2), submit(batcher, 2)
    await until(lambda: batcher.waiting == 2)
    with pytest.raises(DeadlineExceeded):
        await late  # though the backend is still held
    assert batcher.waiting == 1
    backend.let_go()
    assert (await punctual).batch_size == 1
    await first
    assert [numbers(batch) for batch in backend.batches] == [[0], [2]]


async def test_the_timer_goes_on_to_the_next_deadline_and_is_set_back_for_a_nearer_one(batcher, backend):
    first = await busy(batcher, backend)
    ended = []

    async def wait(number, budget_s):
        with pytest.raises(DeadlineExceeded):
            await submit(batcher, number, budget_s)
        ended.append(number)

    await asyncio.gather(wait(3, 0.6), wait(1, 0.2), wait(2, 0.4))
    assert ended == [1, 2, 3]
    backend.let_go()
    await first


async def test_a_frame_without_any_budget_left_is_refused_at_once(batcher, backend):
    for budget_s in (0.0, -1.0):
        with pytest.raises(DeadlineExceeded, match=r"0\.0 ms"):
            await batcher.submit(tensor(1), budget_s=budget_s)
    assert backend.batches == []


async def test_the_nearest_deadlines_are_computed_first(batcher, backend):
    first = await busy(batcher, backend)
    later = [submit(batcher, number, budget_s=budget_s) for number, budget_s in ((1, 50), (2, 30), (3, 40), (4, 20))]
    await until(lambda: batcher.waiting == 4)
    backend.let_go()
    await asyncio.gather(first, *later)
    assert [numbers(batch) for batch in backend.batches] == [[0], [4, 2, 3], [1]]


async def test_a_frame_that_is_still_decoded_is_left_for_a_later_batch_and_holds_up_nobody(batcher, backend):
    first = await busy(batcher, backend)
    with batcher.place(budget_s=10.0) as place:
        second = submit(batcher, 2)
        await until(lambda: batcher.waiting == 2)
        backend.let_go()
        assert (await second).batch_size == 1
        assert batcher.waiting == 1
        assert (await place.compute(tensor(1))).probabilities[0] == 1
    await first
    assert [numbers(batch) for batch in backend.batches] == [[0], [2], [1]]


async def test_a_frame_that_could_not_be_decoded_gives_its_place_back(batcher, backend):
    with pytest.raises(CorruptBitstream), batcher.place(budget_s=10.0):
        raise CorruptBitstream("no such symbol")
    assert batcher.waiting == 0
    assert backend.batches == []


async def test_one_device_has_no_more_than_its_part_of_the_places(backend):
    async with Batcher(backend, max_batch=2, max_waiting=8) as batcher:
        await busy(batcher, backend)
        greedy = [asyncio.create_task(batcher.submit(tensor(n), budget_s=60.0, device="greedy")) for n in range(9)]
        modest = [asyncio.create_task(batcher.submit(tensor(n), budget_s=60.0, device=f"modest {n}")) for n in range(6)]
        await until(lambda: sum(task.done() for task in greedy) == 7 and batcher.waiting == 8)
        backend.let_go()
        answers = await asyncio.gather(*greedy, return_exceptions=True)
        assert sum(isinstance(answer, Overloaded) for answer in answers) == 7
        assert [answer.probabilities[0] for answer in await asyncio.gather(*modest)] == [0, 1, 2, 3, 4, 5]


async def test_a_full_room_makes_place_for_a_device_that_has_nothing_there(backend):
    async with Batcher(backend, max_batch=2, max_waiting=32) as batcher:
        first = await busy(batcher, backend)
        greedy = [
            asyncio.create_task(batcher.submit(tensor(n), budget_s=60.0, device=f"greedy {n % 4}")) for n in range(32)
        ]
        await until(lambda: batcher.waiting == 32)
        modest = submit(batcher, 50)
        await until(lambda: any(task.done() for task in greedy))
        backend.let_go()
        assert (await modest).probabilities[0] == 50
        answers = await asyncio.gather(*greedy, return_exceptions=True)
        assert [type(answer) for answer in answers].count(Overloaded) == 1
        await first


async def test_as_many_batches_are_computed_at_a_time_as_the_backend_has_lanes(backend):
    backend.hold()
    async with Batcher(backend, max_batch=2, max_waiting=8, lanes=2) as batcher:
        tasks = [submit(batcher, number) for number in range(2)]
        await until(lambda: len(backend.batches) == 1)
        tasks += [submit(batcher, number) for number in range(2, 8)]
        await until(lambda: len(backend.batches) == 2)
        assert batcher.waiting == 4
        backend.let_go()
        answers = await asyncio.gather(*tasks)
    assert [answer.probabilities[0] for answer in answers] == list(range(8))


async def test_what_batches_take_is_measured_with_one_frame_and_with_a_full_batch(batcher, backend):
    await batcher.measure(tensor(0))
    assert [len(batch) for batch in backend.batches] == [1, 3, 1, 3]
    assert 0.0 < batcher.times.alone_s <= batcher.times.expected_s(3)


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
