from load_fakes import figures, run

from loadtests.load_capacity import Found, find_capacity, is_held, search
from loadtests.load_scene import entrants

OURS = entrants("blocks.9/r3")["ours"]


def test_a_load_is_held_when_95_in_100_frames_are_in_time():
    assert is_held(figures(good=95, late=5), "anyone")
    assert not is_held(figures(good=94, late=6), "anyone")


def test_a_frame_that_nobody_answers_is_not_held():
    assert not is_held(figures(good=94, unanswered=6), "anyone")


def test_the_device_s_answers_count_only_where_anyone_may_answer():
    mixed = figures(good=50, by_device=50)
    assert is_held(mixed, "anyone")
    assert not is_held(mixed, "cluster")


def test_nothing_due_is_nothing_held():
    assert not is_held(figures(good=0), "anyone")


def test_the_search_finds_the_greatest_number_that_holds():
    for limit in (1, 3, 4, 11, 37, 64):
        assert search(lambda n, limit=limit: n <= limit, first=4, most=100, tolerance=0.0) == Found(
            limit, at_least=False
        )


def test_the_search_ends_within_its_tolerance():
    found = search(lambda n: n <= 90, first=4, most=1000, tolerance=0.1)
    assert 81 <= found.held <= 90


def test_the_search_says_when_there_may_be_more():
    assert search(lambda _: True, first=4, most=50) == Found(50, at_least=True)


def test_the_search_finds_that_nothing_holds():
    assert search(lambda _: False, first=4, most=50) == Found(0, at_least=False)


def test_no_number_beyond_the_most_is_tried():
    tried = []
    search(lambda n: tried.append(n) or True, first=3, most=10)
    assert tried == [3, 6, 10]


def test_a_load_that_just_fails_is_tried_again_and_one_that_fails_by_far_is_not():
    played = []

    def play(agents):
        played.append(agents)
        if agents == 8 and played.count(8) == 1:
            return run(agents, good=90, late=10)
        return run(agents, good=100) if agents <= 8 else run(agents, late=100, good=0)

    capacity = find_capacity(OURS, play, criterion="anyone", first=4, most=64, tolerance=1.0)
    assert played == [4, 8, 8, 16]
    assert capacity.found == Found(8, at_least=False)
    assert capacity.best.agents == 8
