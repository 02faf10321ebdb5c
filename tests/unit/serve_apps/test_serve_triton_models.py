import asyncio
from dataclasses import replace

import numpy as np
import pytest
from triton_fakes import FakeTriton, dead, spec, user

from serve_apps.backends import TritonBackend
from serve_apps.triton_models import LINGER_S, ModelUser, TritonModels
from wire.errors import BundleError, TailFailed
from wire.manifest import FileEntry


@pytest.fixture
def triton():
    return FakeTriton()


@pytest.fixture
def models(tmp_path, triton):
    return TritonModels(tmp_path / "models", triton)


async def test_the_triton_backend_counts_as_a_user_while_it_is_loaded(triton, models):
    backend = TritonBackend(
        spec(), triton,
        acquire=lambda spec: models.acquire(spec, user(1)), release=lambda name: models.release(name, user(1)),
    )  # fmt: skip
    await backend.load()
    assert (await backend.infer(np.zeros((2, 1), np.uint8))).shape == (2, 3)
    await backend.unload()
    assert triton.asked == [("load", "model"), ("unload", "model")]


async def test_the_first_user_loads_a_model_and_the_last_one_unloads_it(triton, models, tmp_path):
    for number in range(3):
        await models.acquire(spec(), user(number))
    assert (tmp_path / "models" / "model" / "config.pbtxt").is_file()
    await models.release("model", user(0))
    await models.release("model", user(1))
    assert triton.asked == [("load", "model")]
    await models.release("model", user(2))
    assert triton.asked == [("load", "model"), ("unload", "model")]
    await models.acquire(spec(), user(0))
    assert triton.asked[-1] == ("load", "model")


async def test_a_user_that_asks_again_is_counted_once(triton, models):
    for _ in range(3):
        await models.acquire(spec(), user(1))
    await models.release("model", user(1))
    assert triton.asked == [("load", "model"), ("unload", "model")]


async def test_users_that_come_at_once_load_a_model_once_and_all_wait_for_it(triton, models):
    await asyncio.gather(*(models.acquire(spec(), user(number)) for number in range(8)))
    assert triton.asked == [("load", "model")]
    await asyncio.gather(*(models.release("model", user(number)) for number in range(8)))
    assert triton.asked == [("load", "model"), ("unload", "model")]


async def test_models_are_counted_each_for_itself(triton, models):
    await models.acquire(spec("a"), user(1))
    await models.acquire(spec("b"), user(1))
    await models.release("a", user(1))
    assert triton.asked == [("load", "a"), ("load", "b"), ("unload", "a")]


async def test_a_model_that_could_not_be_loaded_has_no_user_and_is_tried_again(triton, models):
    triton.fails.add("model")
    with pytest.raises(TailFailed):
        await models.acquire(spec(), user(1))
    triton.fails.clear()
    await models.acquire(spec(), user(1))
    await models.release("model", user(1))
    assert triton.asked == [("load", "model"), ("load", "model"), ("unload", "model")]


async def test_giving_back_what_nobody_has_does_nothing(triton, models):
    await models.release("model", user(1))
    assert triton.asked == []


async def test_a_user_whose_process_died_without_a_word_leaks_no_model(triton, models):
    await models.acquire(spec("a"), dead(1))
    await models.acquire(spec("b"), dead(1))
    await models.acquire(spec("b"), user(1))
    await models.release_dead(100.0)
    await models.release_dead(100.0 + LINGER_S)
    assert triton.asked == [("load", "a"), ("load", "b"), ("unload", "a")]
    await models.release("b", user(1))
    assert triton.asked[-1] == ("unload", "b")


async def test_a_successor_that_comes_soon_finds_the_model_of_the_dead_one_loaded(triton, models):
    await models.acquire(spec(), dead(1))
    await models.release_dead(100.0)
    await models.release_dead(101.0)
    await models.acquire(spec(), user(2))
    await models.release_dead(100.0 + LINGER_S)
    assert triton.asked == [("load", "model")]


def test_a_process_that_got_the_id_of_a_dead_one_is_not_taken_for_it():
    here = ModelUser.here("replica")
    assert here.alive
    assert not ModelUser("replica", here.process_id, here.started_s - 1).alive
    assert not ModelUser("replica", 2**22 + 1, 0.0).alive


async def test_a_triton_that_was_started_again_gets_all_that_has_users(triton, models):
    await models.acquire(spec("a"), user(1))
    await models.acquire(spec("b"), user(1))
    await models.release("a", user(1))
    again = FakeTriton("second")
    await models.reload(again)
    assert again.asked == [("load", "b")]
    await models.release("b", user(1))
    assert again.asked == [("load", "b"), ("unload", "b")]


async def test_a_model_that_is_lost_with_a_triton_is_loaded_anew_for_who_asks_again(triton, models):
    await models.acquire(spec("a"), user(1))
    await models.acquire(spec("b"), user(1))
    again = FakeTriton("second")
    again.fails.add("a")
    await models.reload(again)
    again.fails.clear()
    again.asked.clear()
    await models.acquire(spec("b"), user(1))
    await models.acquire(spec("a"), user(1))
    assert again.asked == [("load", "a")]


async def test_a_graph_that_changed_on_disk_is_not_loaded_again(triton, models, tmp_path):
    graph = tmp_path / "cluster.onnx"
    graph.write_bytes(b"a graph")
    changed = replace(spec(), graph=graph, entry=FileEntry("cluster.onnx", "0" * 64, 7, "cluster"))
    with pytest.raises(BundleError, match="SHA-256"):
        await models.acquire(changed, user(1))
    assert triton.asked == []
