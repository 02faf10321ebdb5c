import importlib.util
from pathlib import Path

import pytest

from device_agent import known_devices as module
from device_agent.known_devices import known_device, known_devices, known_macs
from wire.errors import SettingError

BACKBONES = (
    "efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "mobilenet_v2", "resnet18", "resnet50",
    "resnet101", "vgg16", "vgg19", "alexnet",
)  # fmt: skip


@pytest.mark.parametrize(
    ("device", "engine", "network", "seconds"),
    [
        ("raspberry-pi-3b+", "ncnn-cpu", "mobilenet_v2", 0.11168),
        ("raspberry-pi-4b", "ncnn-cpu", "vgg16", 0.54709),
        ("raspberry-pi-4b", "tflite", "efficientnet-lite0", 0.0694),
        ("raspberry-pi-4b", "tflite", "efficientnet-lite2", 0.1309),
        ("raspberry-pi-4b", "armnn", "resnet50", 0.301),
        ("raspberry-pi-5", "ncnn-cpu", "efficientnet_b0", 0.01233),
        ("jetson-nano", "ncnn-gpu", "alexnet", 0.07445),
        ("jetson-tx2-nx", "ncnn-cpu", "resnet50", 0.31655),
        ("jetson-orin-nano", "ncnn-gpu", "efficientnetv2_b0", 0.0477),
        ("jetson-agx-orin", "ncnn-gpu", "resnet18", 0.00404),
    ],
)
def test_a_time_is_the_one_that_was_published(device: str, engine: module.Engine, network: str, seconds: float) -> None:
    assert known_device(device).runs[engine][network] == pytest.approx(seconds)


def test_every_network_of_the_tables_and_every_backbone_of_ours_has_its_multiply_accumulates() -> None:
    networks = {network for device in known_devices() for times_s in device.runs.values() for network in times_s}
    assert {*networks, *BACKBONES} == set(known_macs())
    assert all(1e7 < macs < 1e11 for macs in known_macs().values())


def test_every_time_is_positive_and_below_two_seconds() -> None:
    times_s = [s for device in known_devices() for run in device.runs.values() for s in run.values()]
    assert len(times_s) == 155
    assert all(0 < s < 2 for s in times_s)


def test_every_power_names_its_source_and_says_whether_it_was_measured() -> None:
    for device in known_devices():
        assert 0 < device.power.idle_w < device.power.busy_w
        assert device.power.source.startswith("Nominal" if device.power.nominal else "Measured")
    assert {d.name for d in known_devices() if not d.power.nominal} == {
        "raspberry-pi-3b+", "raspberry-pi-4b", "raspberry-pi-5",
    }  # fmt: skip
    assert (known_device("raspberry-pi-4b").power.idle_w, known_device("raspberry-pi-4b").power.busy_w) == (2.7, 6.4)


def test_tflite_stands_for_a_device_where_it_was_published() -> None:
    device = known_device("raspberry-pi-4b")
    assert device.published("mobilenet_v2") == ("tflite", pytest.approx(0.0571))
    assert device.published("resnet18") == ("ncnn-cpu", pytest.approx(0.12312))
    assert device.published("resnet50") == ("ncnn-cpu", pytest.approx(0.26283))


def test_the_faster_of_cpu_and_gpu_stands_for_a_jetson() -> None:
    device = known_device("jetson-orin-nano")
    assert device.published("resnet50") == ("ncnn-gpu", pytest.approx(0.00931))
    assert device.published("mobilenet_v2") == ("ncnn-cpu", pytest.approx(0.00651))


def test_a_network_that_nobody_published_has_no_time() -> None:
    assert known_device("raspberry-pi-5").published("efficientnet-lite0") is None


def test_an_unknown_name_is_answered_with_the_closest_and_all_that_there_are() -> None:
    with pytest.raises(SettingError, match="raspberry-pi-4'") as caught:
        known_device("raspberry-pi-4")
    assert caught.value.mend.startswith("did you mean raspberry-pi-4b?")
    assert all(device.name in caught.value.mend for device in known_devices())


def test_a_name_like_no_other_is_answered_without_a_guess() -> None:
    with pytest.raises(SettingError) as caught:
        known_device("zzz")
    assert caught.value.mend.startswith("one of: raspberry-pi-3b+, ")


def test_the_facts_are_read_once_and_not_before_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    read_text = Path.read_text

    def note(path: Path, encoding: str) -> str:
        read.append(path.name)
        return read_text(path, encoding)

    monkeypatch.setattr(Path, "read_text", note)
    spec = importlib.util.spec_from_file_location("known_devices_anew", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    anew = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(anew)
    assert read == []
    anew.known_devices()
    anew.known_device("jetson-nano")
    anew.known_macs()
    assert read == ["known_devices.json"]
