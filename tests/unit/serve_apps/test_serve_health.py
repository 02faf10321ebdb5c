import asyncio
from contextlib import asynccontextmanager

import pytest
from serve_fakes import Clock

from serve_apps import health
from serve_apps.health import PATIENCE_S, PERIOD_S, PROOF_LASTS_S, Health, Proofs
from wire.errors import IsthmusError, TailFailed
from wire.ids import PointName
from wire.messages import Reject


class FakeTail:
    """Answers, refuses or hangs, as a test says."""

    def __init__(self, bundle, clock):
        self.bundle, self.point, self.clock = bundle, PointName("mid"), clock
        self.answered_at_s = float("-inf")
        self.does = "answers"
        self.frames = []

    async def answer(self, frame, memory=None):
        self.frames.append(frame)
        if self.does == "hangs":
            await asyncio.Event().wait()
        if self.does == "refuses":
            return Reject(
                frame_id=0, code="tail_failed", message="Triton is away", retryable=True, retry_after_s=0.1, load=None
            )
        self.answered_at_s = self.clock()
        return "a result"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tail(bundle, clock):
    return FakeTail(bundle, clock)


@pytest.fixture
def well(tail, clock):
    return Health(tail, clock=clock)


async def test_a_replica_that_answered_lately_is_not_asked(well, tail, clock):
    tail.answered_at_s = clock.now_s - PERIOD_S / 2
    await well.check()
    assert tail.frames == []


async def test_a_replica_that_idles_answers_one_real_frame_of_every_graph(well, tail, bundle):
    await well.check()
    graphs = {option.cluster_graph for option in bundle.options_at(PointName("mid"))}
    assert len(tail.frames) == len(graphs)
    for frame in tail.frames:
        option = bundle.option(frame.option_id)
        assert option.form.check(bundle.coding(option).decode(frame.bitstream)) is None


async def test_a_fault_that_may_be_mended_yet_is_borne(well, tail, clock):
    tail.does = "refuses"
    for now in (0.0, PATIENCE_S / 2, PATIENCE_S - 1):
        clock.now_s = now
        await well.check()


async def test_a_fault_that_lasts_gives_the_replica_up_and_says_why(well, tail, clock):
    tail.does = "refuses"
    await well.check()
    clock.now_s = PATIENCE_S
    with pytest.raises(TailFailed, match="Triton is away"):
        await well.check()


async def test_a_fault_that_went_away_in_between_is_forgotten(well, tail, clock):
    tail.does = "refuses"
    await well.check()
    tail.does, clock.now_s = "answers", 10.0
    await well.check()
    tail.does, clock.now_s = "refuses", PATIENCE_S + 1
    await well.check()


async def test_a_tail_that_hangs_is_a_fault_too(well, tail, monkeypatch):
    monkeypatch.setattr(health, "PROBE_S", 0.01)
    tail.does = "hangs"
    with pytest.raises(TailFailed, match="not answered within"):
        await well.prove()


async def test_a_proof_says_what_kept_the_frame_from_being_answered(well, tail):
    tail.does = "refuses"
    with pytest.raises(IsthmusError, match="Triton is away"):
        await well.prove()


@asynccontextmanager
async def counted(clock, failing=()):
    asked = []

    async def prove(point):
        asked.append(point)
        await asyncio.sleep(0)
        if point in failing:
            raise TailFailed("Triton is away")

    yield Proofs(prove, clock=clock), asked


async def test_points_are_proven_one_by_one(clock):
    async with counted(clock, failing=("b",)) as (proofs, _):
        assert await proofs.of(["a", "b"]) == {"a": True, "b": False}


async def test_a_proof_lasts_a_while_however_many_want_to_know(clock):
    async with counted(clock) as (proofs, asked):
        await asyncio.gather(*(proofs.of(["a"]) for _ in range(5)))
        assert asked == ["a"]
        clock.now_s = PROOF_LASTS_S + 0.1
        await proofs.of(["a", "b"])
        assert asked == ["a", "a", "b"]


async def test_a_point_that_does_not_say_anything_fails(clock, monkeypatch):
    monkeypatch.setattr(health, "PROOF_TIMEOUT_S", 0.01)

    async def prove(_):
        await asyncio.Event().wait()

    assert await Proofs(prove, clock=clock).of(["a"]) == {"a": False}
