import pytest

from device_agent.kalman_link import EXCHANGE_S, KalmanLink
from device_agent.link_view import LinkView

BASE_S, S_PER_BYTE = 0.020, 4e-6


def test_restart_after_restart_the_base_delay_stays_what_it_was() -> None:
    view = LinkView(BASE_S, S_PER_BYTE)
    for _ in range(5):
        view = LinkView.from_plain(KalmanLink(view).view(0.0).as_plain())
    assert view.base_s == pytest.approx(BASE_S)


def test_a_train_of_pings_is_no_exchange() -> None:
    link = KalmanLink()
    for number in range(20):
        link.note_round_trip(BASE_S, now_s=2.0 * number)
        link.note_train(1175, BASE_S + 1175 * S_PER_BYTE, now_s=2.0 * number + 0.1)
    view = link.view(40.0)
    assert view.s_per_byte == pytest.approx(S_PER_BYTE, rel=0.1)
    assert view.base_s == pytest.approx(BASE_S + EXCHANGE_S, rel=0.05)
