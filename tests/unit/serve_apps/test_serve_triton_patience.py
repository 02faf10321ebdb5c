from serve_apps.triton_patience import GROWS, MOST, SOON_S, TritonPatience


def test_each_triton_that_was_ended_for_its_slowness_gives_the_next_one_longer_up_to_a_bound():
    patience = TritonPatience()
    assert patience.factor(now_s=5.0) == 1.0
    factors = []
    for number in range(6):
        patience.ended_for_slowness(now_s=10.0 * number)
        factors.append(patience.factor(now_s=10.0 * number))
    assert factors[:3] == [GROWS, GROWS**2, GROWS**3]
    assert factors[-1] == MOST


def test_a_triton_that_did_well_for_long_is_waited_for_as_usual_again():
    patience = TritonPatience()
    patience.ended_for_slowness(now_s=0.0)
    patience.ended_for_slowness(now_s=1.0)
    assert patience.factor(now_s=SOON_S) == GROWS**2
    assert patience.factor(now_s=1.0 + SOON_S) == 1.0
    patience.ended_for_slowness(now_s=1.0 + SOON_S)
    assert patience.factor(now_s=1.0 + SOON_S) == GROWS
