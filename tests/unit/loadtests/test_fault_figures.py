import pytest

from loadtests.fault_figures import BEFORE_S, WINDOW_S, SeenFrame, all_served, fault_figures, missing

FPS = 5
STRUCK_S = 1000.0
ENDED_S = 1030.0


def frame(agent, number, due_s, where="cluster", fallback=None, *, life=0):
    return SeenFrame(
        agent=agent, life=life, number=number, due_s=due_s, answered_s=due_s + 0.05, where=where, fallback=fallback,
        in_time=True,
    )  # fmt: skip


def frames_of(agent, alone=lambda since_s: False, *, from_s=-10.0, until_s=30.0):
    """Give an agent's frames by the seconds since the fault; ``alone`` says when its device has to answer."""
    made = []
    for number in range(round((until_s - from_s) * FPS)):
        since_s = from_s + number / FPS
        where = "device" if alone(since_s) else "cluster"
        made.append(frame(agent, number, STRUCK_S + since_s, where, "late" if where == "device" else None))
    return made


def figures(frames, last_s=STRUCK_S):
    return fault_figures(frames, struck_s=STRUCK_S, last_s=last_s, ended_s=ENDED_S)


def test_a_fault_that_nobody_notices_has_full_service_at_once():
    found = figures([*frames_of("a"), *frames_of("b")])
    assert (found.noticed_s, found.full_service_s, found.by_device, found.lost) == (None, 0.0, 0, 0)


def test_frames_are_counted_from_the_fault_until_none_may_be_unanswered_yet():
    found = figures(frames_of("a"))
    assert found.sent == found.by_cluster == round((ENDED_S - STRUCK_S - WINDOW_S) * FPS)


def test_the_time_to_full_service_ends_with_the_first_frame_that_the_cluster_answers_again():
    found = figures(frames_of("a", lambda since_s: 0.3 < since_s < 7.1))
    assert found.noticed_s == pytest.approx(0.4)
    assert found.full_service_s == pytest.approx(7.2)
    assert found.by_device == round((7.0 - 0.4) * FPS) + 1


def test_one_agent_that_is_not_served_yet_is_no_full_service():
    found = figures(
        [*frames_of("a", lambda since_s: 0 < since_s < 2), *frames_of("b", lambda since_s: 0 < since_s < 9)]
    )
    assert found.full_service_s == pytest.approx(9.0)


def test_a_frame_now_and_then_that_a_device_answers_is_full_service_all_the_same():
    found = figures(frames_of("a", lambda since_s: since_s > 0 and round(since_s * FPS) % 10 == 0))
    assert found.full_service_s == 0.0
    assert found.by_device


def test_an_agent_that_is_never_served_again_has_no_full_service():
    assert figures(frames_of("a", lambda since_s: since_s > 0)).full_service_s is None


def test_an_agent_that_is_dead_for_a_while_is_not_served():
    before, after = frames_of("a", until_s=0.0), frames_of("a", from_s=4.0)
    reborn = [frame("a", number, each.due_s, life=1) for number, each in enumerate(after)]
    found = figures([*before, *reborn])
    assert found.full_service_s == pytest.approx(4.0)
    assert found.lost == 0


def test_full_service_counts_from_the_last_strike():
    found = figures(frames_of("a", lambda since_s: 0 < since_s < 12), last_s=STRUCK_S + 10)
    assert found.full_service_s == pytest.approx(2.0)


def test_an_agent_that_was_not_served_before_need_not_be_after():
    found = figures([*frames_of("a"), *frames_of("b", lambda since_s: True)])
    assert found.full_service_s == 0.0


def test_a_number_that_is_missing_is_a_lost_frame_in_each_life_for_itself():
    seen = [frame("a", number, STRUCK_S + number) for number in (3, 4, 6)]
    seen += [frame("a", number, STRUCK_S + 10 + number, life=1) for number in (0, 1, 2)]
    seen += [frame("b", number, STRUCK_S + number) for number in (0, 3)]
    assert missing(seen) == 1 + 2
    assert figures(seen).lost == 3
    assert figures(seen).sent == len(seen) + 3


def test_all_are_served_only_where_every_window_is():
    seen = frames_of("a", lambda since_s: 8 < since_s < 11)
    spans = {"struck_s": STRUCK_S, "from_s": STRUCK_S + 5}
    assert not all_served(seen, **spans, until_s=STRUCK_S + 12)
    assert all_served(seen, struck_s=STRUCK_S, from_s=STRUCK_S + 12, until_s=STRUCK_S + 12 + BEFORE_S)


def test_an_agents_line_is_read_as_it_says_it():
    event = {
        "event": "frame", "frame": 7, "due_unix_s": 1.5, "unix_s": 1.75, "where": "device", "fallback": "link_down",
        "in_time": False,
    }  # fmt: skip
    seen = SeenFrame.of("a", 2, event)
    assert (seen.agent, seen.life, seen.number, seen.due_s, seen.answered_s) == ("a", 2, 7, 1.5, 1.75)
    assert (seen.where, seen.fallback, seen.in_time) == ("device", "link_down", False)
