import asyncio

import pytest

from cluster.triton.client import ModelTotals
from serve_apps import node_load as node_load_module
from serve_apps.node_load import NodeLoad, NodeWatch, node_load
from wire.errors import TailFailed

BEFORE = ModelTotals(batches=100, queue_s=1.0, compute_s=2.0, all_compute_s=5.0)
NOW = ModelTotals(batches=110, queue_s=1.02, compute_s=2.3, all_compute_s=6.0)


def test_a_batch_is_averaged_over_the_time_between_two_readings():
    load = node_load(BEFORE, NOW, 2.0, processors=0.7)
    assert load.utilisation == 0.7
    assert (load.triton_queue_s, load.triton_compute_s) == pytest.approx((0.002, 0.03))


def test_without_a_batch_there_is_nothing_to_average():
    assert node_load(BEFORE, BEFORE, 2.0, processors=0.1) == NodeLoad(0.1, 0.0, 0.0)


def test_a_model_that_was_loaded_anew_is_counted_from_nothing():
    load = node_load(BEFORE, ModelTotals(batches=4, queue_s=0.0, compute_s=0.1, all_compute_s=0.1), 2.0, processors=0.1)
    assert (load.triton_queue_s, load.triton_compute_s) == pytest.approx((0.0, 0.025))


def test_on_a_gpu_the_share_is_that_of_the_time_in_which_a_model_ran_if_that_is_more():
    assert node_load(BEFORE, NOW, 2.0, processors=0.2, on_gpu=True).utilisation == pytest.approx(0.5)
    assert node_load(BEFORE, NOW, 2.0, processors=0.8, on_gpu=True).utilisation == 0.8
    assert node_load(BEFORE, NOW, 0.5, processors=0.2, on_gpu=True).utilisation == 1.0


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(node_load_module, "EVERY_S", 0.01)


async def test_the_figures_are_told_again_and_again_and_of_no_triton_there_is_nothing_to_tell(quick):
    told = asyncio.Queue()
    async with NodeWatch(None, told.put_nowait):
        loads = [await asyncio.wait_for(told.get(), 20) for _ in range(3)]
    assert all(0.0 <= load.utilisation <= 1.0 and load.triton_compute_s == 0.0 for load in loads)


async def test_while_triton_is_away_what_was_known_is_kept_and_it_is_asked_again(quick):
    answers = iter([BEFORE, TailFailed("Triton is gone"), NOW])

    async def read():
        answer = next(answers, NOW)
        if isinstance(answer, TailFailed):
            raise answer
        return answer

    told = asyncio.Queue()
    async with NodeWatch(read, told.put_nowait):
        load = await asyncio.wait_for(told.get(), 20)
    assert (load.triton_queue_s, load.triton_compute_s) == pytest.approx((0.002, 0.03))
