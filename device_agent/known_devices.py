"""The devices that are known from what others published of them: seconds of whole networks, and power.

Owns ``known_devices.json``, which names the source of every figure, and reads it when it is first asked for. Predicts
nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from device_agent.power import DevicePower
from wire.errors import SettingError

Engine = Literal["ncnn-cpu", "ncnn-gpu", "tflite", "armnn"]
"""What ran the networks, and on which processor."""

_FACTS: Final = Path(__file__).with_name("known_devices.json")
_NCNN: Final[tuple[Engine, ...]] = ("ncnn-cpu", "ncnn-gpu")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownDevice:
    """One device, as it was published.

    Where nobody says which engine, TFLite stands for a device where it was published for the network, and else the
    faster of its runs under ncnn: a Raspberry Pi has one on the CPU, a Jetson one on the CPU and one on the GPU.
    """

    name: str
    title: str
    runs: Mapping[Engine, Mapping[str, float]]
    """Seconds of one picture through a whole network, by engine and network."""
    power: DevicePower

    @property
    def ncnn_engines(self) -> tuple[Engine, ...]:
        """Give the engines that a time of this device may be predicted for."""
        return tuple(engine for engine in _NCNN if engine in self.runs)

    def published(self, network: str) -> tuple[Engine, float] | None:
        """Give the engine that stands for this device and its seconds; None where none was published."""
        if network in self.runs.get("tflite", {}):
            return "tflite", self.runs["tflite"][network]
        times_s = {e: self.runs[e][network] for e in self.ncnn_engines if network in self.runs[e]}
        return min(times_s.items(), key=lambda item: item[1]) if times_s else None


@cache
def known_devices() -> tuple[KnownDevice, ...]:
    """Give all of them, slower ones first within a family."""
    return tuple(
        KnownDevice(
            name=name,
            title=facts["title"],
            runs={engine: _seconds(run["latency_ms"]) for engine, run in facts["runs"].items()},
            power=DevicePower(**facts["power"]),
        )
        for name, facts in _facts()["devices"].items()
    )


def known_device(name: str) -> KnownDevice:
    """Give the device of this name, such as ``raspberry-pi-4b``.

    Raises:
        SettingError: none is called so; it lists those that there are.
    """
    devices = {device.name: device for device in known_devices()}
    if name in devices:
        return devices[name]
    closest = get_close_matches(name, devices, n=1)
    hint = f"did you mean {closest[0]}? " if closest else ""
    raise SettingError(f"no device is known by the name {name!r}", mend=f"{hint}one of: {', '.join(devices)}")


@cache
def known_macs() -> Mapping[str, int]:
    """Give the multiply-accumulates of one picture, by network: of all in the tables, and of our other backbones."""
    return {network: facts["macs"] for network, facts in _facts()["networks"].items()}


@cache
def _facts() -> dict[str, dict[str, Any]]:
    return json.loads(_FACTS.read_text(encoding="utf-8"))


def _seconds(latency_ms: Mapping[str, float]) -> dict[str, float]:
    return {network: ms / 1e3 for network, ms in latency_ms.items()}
