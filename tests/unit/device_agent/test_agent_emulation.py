import pytest

from device_agent.device_prediction import predict_s
from device_agent.emulation import Emulated, Emulation
from device_agent.known_devices import known_device, known_macs
from wire.errors import SettingError

BACKBONE = "mobilenet_v2"


def test_without_a_wish_nothing_is_emulated() -> None:
    assert Emulation().of(BACKBONE, 300_000_000, 0.01) is None


def test_a_factor_is_taken_as_it_is_whatever_the_backbone() -> None:
    assert Emulation(slowdown=4.0).of("anything", 1, 0.01) == Emulated(None, 4.0)


def test_a_known_device_is_as_many_times_slower_as_its_published_seconds_say() -> None:
    there_s = predict_s(known_device("raspberry-pi-4b"), BACKBONE).seconds
    emulated = Emulation("raspberry-pi-4b").of(BACKBONE, known_macs()[BACKBONE], there_s / 8)
    assert emulated is not None
    assert emulated.device == "raspberry-pi-4b"
    assert emulated.slowdown == pytest.approx(8.0)


def test_a_backbone_in_no_table_is_predicted_from_its_multiply_accumulates() -> None:
    small, large = (Emulation("raspberry-pi-4b").of("nobodys_net", macs, 1e-4) for macs in (10**8, 10**9))
    assert small is not None
    assert large is not None
    assert 1.0 < small.slowdown < large.slowdown


@pytest.mark.parametrize(("device", "own_whole_s"), [("raspberry-pi-9z", 0.001), ("raspberry-pi-4b", 60.0)])
def test_a_device_that_is_unknown_or_faster_than_this_machine_cannot_be_emulated(
    device: str, own_whole_s: float
) -> None:
    with pytest.raises(SettingError) as caught:
        Emulation(device).of(BACKBONE, known_macs()[BACKBONE], own_whole_s)
    assert caught.value.mend


def test_a_device_and_a_factor_cannot_both_be_played() -> None:
    with pytest.raises(SettingError) as caught:
        Emulation("raspberry-pi-4b", 3.0)
    assert "--device-slowdown" in caught.value.mend
