import shutil
from pathlib import Path

import pytest

from device_agent.power_sensor import PowerSensor

DRIVERS = "bus/i2c/drivers"


def hwmon(root: Path, *rails: tuple[str, int, int], address: str = "1-0040") -> Path:
    """Rails by name, mV and mA, as the kernel's driver shows them."""
    folder = root / DRIVERS / "ina3221" / address / "hwmon" / "hwmon3"
    folder.mkdir(parents=True)
    for channel, (name, millivolts, milliamperes) in enumerate(rails, 1):
        (folder / f"in{channel}_label").write_text(f"{name}\n")
        (folder / f"in{channel}_input").write_text(f"{millivolts}\n")
        (folder / f"curr{channel}_input").write_text(f"{milliamperes}\n")
    (folder / "in7_label").write_text("sum of shunt voltages\n")
    return folder


def iio(root: Path, *rails: tuple[str, int]) -> Path:
    """Rails by name and mW, as NVIDIA's older driver shows them."""
    folder = root / DRIVERS / "ina3221x" / "6-0040" / "iio:device0"
    folder.mkdir(parents=True)
    for channel, (name, milliwatts) in enumerate(rails):
        (folder / f"rail_name_{channel}").write_text(f"{name}\n")
        (folder / f"in_power{channel}_input").write_text(f"{milliwatts}\n")
    return folder


def test_an_orin_nano_is_read_at_its_input_in_volts_times_amperes(tmp_path: Path) -> None:
    hwmon(tmp_path, ("VDD_IN", 5000, 1200), ("VDD_CPU_GPU_CV", 5000, 300), ("VDD_SOC", 5000, 250))
    sensor = PowerSensor.find(tmp_path)
    assert sensor is not None
    assert sensor.rails == ("VDD_IN",)
    assert sensor.read_w() == pytest.approx(6.0)


def test_a_nano_is_read_at_its_input_in_milliwatts(tmp_path: Path) -> None:
    iio(tmp_path, ("POM_5V_IN", 4210), ("POM_5V_GPU", 160), ("POM_5V_CPU", 1500))
    sensor = PowerSensor.find(tmp_path)
    assert sensor is not None
    assert sensor.rails == ("POM_5V_IN",)
    assert sensor.read_w() == pytest.approx(4.21)


def test_an_agx_orin_is_the_sum_of_the_rails_that_feed_it(tmp_path: Path) -> None:
    hwmon(tmp_path, ("VDD_GPU_SOC", 20_000, 200), ("VDD_CPU_CV", 20_000, 50), ("VIN_SYS_5V0", 5000, 600))
    hwmon(tmp_path, ("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 100), address="1-0041")
    sensor = PowerSensor.find(tmp_path)
    assert sensor is not None
    assert sensor.read_w() == pytest.approx(4.0 + 1.0 + 3.0)


def test_every_reading_is_a_fresh_one(tmp_path: Path) -> None:
    folder = hwmon(tmp_path, ("VDD_IN", 5000, 1000))
    sensor = PowerSensor.find(tmp_path)
    assert sensor is not None
    (folder / "curr1_input").write_text("2000\n")
    assert sensor.read_w() == pytest.approx(10.0)


def test_a_machine_without_a_monitor_has_no_sensor(tmp_path: Path) -> None:
    assert PowerSensor.find(tmp_path) is None
    assert PowerSensor.find(tmp_path / "nowhere") is None


def test_a_board_whose_input_is_not_measured_has_no_sensor(tmp_path: Path) -> None:
    hwmon(tmp_path, ("VDD_CPU_GPU_CV", 5000, 300), ("VDD_SOC", 5000, 250))
    assert PowerSensor.find(tmp_path) is None


def test_a_rail_that_cannot_be_read_makes_no_sensor(tmp_path: Path) -> None:
    folder = hwmon(tmp_path, ("VDD_IN", 5000, 1000))
    (folder / "curr1_input").unlink()
    assert PowerSensor.find(tmp_path) is None


@pytest.mark.parametrize("nonsense", ["", "n/a\n", "\x00"])
def test_nonsense_is_no_reading(tmp_path: Path, nonsense: str) -> None:
    folder = hwmon(tmp_path, ("VDD_IN", 5000, 1000))
    sensor = PowerSensor.find(tmp_path)
    assert sensor is not None
    (folder / "in1_input").write_text(nonsense)
    assert sensor.read_w() is None


def test_a_sensor_that_vanishes_gives_nothing_and_works_again_once_it_is_back(tmp_path: Path) -> None:
    hwmon(tmp_path, ("VDD_IN", 5000, 1000))
    sensor = PowerSensor.find(tmp_path)
    assert sensor is not None
    shutil.rmtree(tmp_path / DRIVERS)
    assert sensor.read_w() is None
    hwmon(tmp_path, ("VDD_IN", 5000, 1000))
    assert sensor.read_w() == pytest.approx(5.0)
