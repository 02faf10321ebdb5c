import asyncio

import pytest
from triton_fakes import FakeServer, FakeTriton, spec, user

from cluster.triton.external import ExternalServer, ExternalTriton
from serve_apps import triton_keeper
from serve_apps.triton_keeper import ASK_TIMEOUT_S, SILENCES, TritonKeeper
from serve_apps.triton_patience import GROWS
from wire.errors import TritonUnavailable


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    for name in ("LOOK_S", "ASK_EVERY_S", "FIRST_RETRY_S"):
        monkeypatch.setattr(triton_keeper, name, 0.001)


@pytest.fixture
def server(tmp_path):
    return FakeServer(tmp_path)


@pytest.fixture
def tritons():
    return {}


@pytest.fixture
def keeper(server, tritons):
    return TritonKeeper(server, connect=lambda address: tritons.setdefault(address, FakeTriton(address)))


async def come_true(condition):
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it does not come true")


async def restarted(keeper):
    await come_true(lambda: keeper.restarts)


async def test_a_triton_that_died_is_started_again_with_what_has_users(keeper, server, tritons):
    async with keeper:
        await keeper.acquire(spec(), user(1))
        server.alive = False
        assert await keeper.address() == "triton-2"
        assert tritons["triton-2"].asked == [("load", "model")]
        assert tritons["triton-1"].closed


async def test_a_triton_that_hangs_is_killed_and_started_again(keeper, server):
    async with keeper:
        server.silent = True
        await restarted(keeper)
        assert server.kills
        assert await keeper.address() == "triton-2"


async def test_whoever_was_ended_for_its_slowness_is_followed_by_one_that_is_given_longer(keeper, server, tritons):
    waits_s = []
    server.responds = lambda *, timeout_s: waits_s.append(timeout_s) or len(waits_s) > SILENCES
    async with keeper:
        await restarted(keeper)
        await come_true(lambda: len(waits_s) > SILENCES)
    assert waits_s[:SILENCES] == [ASK_TIMEOUT_S] * SILENCES
    assert waits_s[SILENCES] == ASK_TIMEOUT_S * GROWS


async def test_one_that_died_says_nothing_of_patience(keeper, server):
    waits_s = []
    server.responds = lambda *, timeout_s: waits_s.append(timeout_s) or True
    async with keeper:
        server.alive = False
        await restarted(keeper)
        await come_true(lambda: waits_s)
    assert set(waits_s) == {ASK_TIMEOUT_S}


async def test_one_silence_is_no_hang(keeper, server, monkeypatch):
    answers = [True, False, True, False]
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def responds(*, timeout_s):
        if answers:
            return answers.pop()
        loop.call_soon_threadsafe(heard.set)
        return True

    monkeypatch.setattr(server, "responds", responds)
    async with keeper:
        await asyncio.wait_for(heard.wait(), 5)
        assert keeper.restarts == 0


async def test_a_model_that_does_not_answer_is_loaded_anew_and_the_others_go_on(keeper, tritons):
    async with keeper:
        await keeper.acquire(spec("a"), user(1))
        await keeper.acquire(spec("b"), user(1))
        await keeper.complain("triton-1", "a", "its process died")
        assert tritons["triton-1"].asked[2:] == [("unload", "a"), ("load", "a")]
        assert keeper.restarts == 0


async def test_all_that_complain_of_a_model_have_it_loaded_anew_once(keeper, tritons):
    async with keeper:
        await keeper.acquire(spec(), user(1))
        await asyncio.gather(*(keeper.complain("triton-1", "model", "it died") for _ in range(4)))
        await keeper.complain("triton-1", "model", "it died")
        assert tritons["triton-1"].asked == [("load", "model"), ("unload", "model"), ("load", "model")]


async def test_a_triton_that_cannot_load_a_model_anew_is_started_again(keeper, tritons):
    async with keeper:
        await keeper.acquire(spec(), user(1))
        tritons["triton-1"].fails.add("model")
        await keeper.complain("triton-1", "model", "no answer")
        assert await keeper.address() == "triton-2"
        assert tritons["triton-2"].asked == [("load", "model")]


async def test_a_triton_that_hangs_while_it_loads_a_model_is_started_again(keeper, server, tritons, monkeypatch):
    monkeypatch.setattr(triton_keeper, "LOAD_S", 0.05)
    async with keeper:
        await keeper.acquire(spec("other"), user(1))
        tritons["triton-1"].hangs.add("model")
        with pytest.raises(TritonUnavailable, match="model was not loaded within"):
            await keeper.acquire(spec(), user(2))
        assert await keeper.address() == "triton-2"
        await keeper.acquire(spec(), user(2))
        assert tritons["triton-2"].asked == [("load", "other"), ("load", "model")]


async def test_a_complaint_of_one_that_is_gone_already_changes_nothing(keeper, server, tritons):
    async with keeper:
        await keeper.acquire(spec(), user(1))
        server.alive = False
        assert await keeper.address() == "triton-2"
        await keeper.complain("triton-1", "model", "no answer")
        assert tritons["triton-2"].asked == [("load", "model")]


async def test_a_start_that_fails_is_tried_again_until_it_does_not(keeper, server):
    async with keeper:
        server.refusals = 3
        server.alive = False
        assert await keeper.address() == "triton-2"
        assert server.refusals == 0


async def test_what_is_asked_while_triton_is_away_waits_for_it(keeper, server, tritons):
    async with keeper:
        server.refusals = 2
        server.alive = False
        assert await keeper.address() == "triton-2"
        await keeper.acquire(spec(), user(1))
        assert tritons["triton-2"].asked == [("load", "model")]


async def test_a_first_start_that_fails_is_the_callers_to_know(keeper, server):
    server.refusals = 1
    with pytest.raises(TritonUnavailable):
        await keeper.__aenter__()


async def test_leaving_stops_triton_and_the_watch_over_it(keeper, server):
    async with keeper:
        pass
    await asyncio.sleep(0.01)
    assert (server.alive, server.starts) == (False, 1)


async def test_models_that_nobody_is_known_to_use_are_let_go_at_the_start(server):
    triton = FakeTriton(left=("old",))
    async with TritonKeeper(server, connect=lambda _: triton) as keeper:
        await keeper.acquire(spec(), user(1))
    assert triton.asked == [("unload", "old"), ("load", "model")]


async def test_a_triton_that_is_somebody_elses_is_waited_for_and_given_its_models_again(tmp_path, monkeypatch):
    answers = [True, False, False, True]
    monkeypatch.setattr(ExternalServer, "responds", lambda _, *, timeout_s: answers.pop(0) if answers else True)
    triton = FakeTriton()
    server = ExternalServer(ExternalTriton(address="127.0.0.1:1", repository=tmp_path))
    async with TritonKeeper(server, connect=lambda _: triton) as keeper:
        await keeper.acquire(spec(), user(1))
        await restarted(keeper)
    assert triton.asked == [("load", "model"), ("load", "model")]
