import pytest

from device_agent.pacing import Pacer


def kept(pacer: Pacer, clip_fps: float, frames: int) -> list[tuple[int, float]]:
    dues = [(number, pacer.due(number / clip_fps)) for number in range(frames)]
    return [(number, due_s) for number, due_s in dues if due_s is not None]


def test_a_clip_of_25_frames_a_second_gives_10_of_them_a_second() -> None:
    frames = kept(Pacer(10), 25, 50)
    assert len(frames) == 20
    assert [number for number, _ in frames[:6]] == [0, 3, 5, 8, 10, 13]
    assert [due_s for _, due_s in frames] == pytest.approx([n / 10 for n in range(20)])


def test_a_clip_slower_than_asked_for_keeps_its_own_rate() -> None:
    assert kept(Pacer(10), 5, 4) == [(0, 0.0), (1, 0.2), (2, 0.4), (3, 0.6)]


def test_rounding_of_media_time_loses_no_frame() -> None:
    assert len(kept(Pacer(30), 30, 3000)) == 3000


def test_without_a_rate_every_frame_is_kept_and_due_at_once() -> None:
    assert kept(Pacer(0), 25, 3) == [(0, 0.0), (1, 0.0), (2, 0.0)]


def test_a_clip_that_begins_again_goes_on_in_time() -> None:
    pacer = Pacer(10)
    kept(pacer, 10, 3)
    pacer.restart()
    assert [due_s for _, due_s in kept(pacer, 10, 2)] == pytest.approx([0.3, 0.4])
