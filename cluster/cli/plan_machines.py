"""The options of ``isthmus plan`` that say which device, cluster and links a plan is for, and what becomes of them.

Owns these options. A device by name is looked up in what the agent knows of devices.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from wire.errors import SettingError

if TYPE_CHECKING:
    from cluster.planning.machines import Machines
    from cluster.planning.tables import Link

LINKS: Final = ("3g", "4g", "wifi")
ALL: Final = "all"

TIMES_OPTION: Final = click.option(
    "--times", type=click.Path(path_type=Path), multiple=True,
    help="A profile of a bundle's options (isthmus profile device, isthmus profile cluster); may be repeated. A side "
    "without one is timed now.",
)  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])


def machine_options(function: Function) -> Function:
    """Add the options of the two machines, which ``machines`` takes by the same names."""
    return _with(
        function,
        click.option("--device", "device_name", metavar="NAME",
                     help="Emulate a device that is known, such as raspberry-pi-4b.  [default: the one measured]"),
        click.option("--device-factor", type=float,
                     help="Emulate a device that takes so many times the measured seconds."),
        click.option("--device-power-w", type=float,
                     help="What the device draws over idle while it computes.  [default: what --device does]"),
        click.option("--cluster-factor", type=float, default=1.0, show_default=True,
                     help="Emulate a cluster that is so many times as fast as what was measured; a GPU is 20 to 50."),
    )  # fmt: skip


def link_options(function: Function) -> Function:
    """Add the options of the links, which ``links`` takes by the same names."""
    return _with(
        function,
        click.option("--link", "link_names", type=click.Choice([*LINKS, ALL]), multiple=True, default=(ALL,),
                     show_default=True, help="A radio of the papers; may be repeated."),
        click.option("--mbps", type=float,
                     help="Let the uplink of the radio (wifi, if no other is named) run at so many Mbit/s."),
    )  # fmt: skip


def tensor_options(function: Function) -> Function:
    """Add the options of what is sent between groups."""
    return _with(
        function,
        click.option("--tensor-bits", type=click.IntRange(1, 32), default=8, show_default=True,
                     help="Send tensors in fixed point of so many bits, as PNG."),
        click.option("--tensor-ratio", type=float, default=0.74, show_default=True,
                     help="PNG's bytes for one of these: measured on five cuts of Lite0, 0.70 to 0.77."),
    )  # fmt: skip


def machines(
    *,
    device_name: str | None,
    device_factor: float | None,
    device_power_w: float | None,
    cluster_factor: float,
    backbone: str,
    whole_s: float | None,
    macs: int,
    emulated: str | None = None,
) -> "Machines":
    """Make the machines.

    ``whole_s`` are the measured seconds of the whole ``backbone``, of so many ``macs``; ``emulated`` names the device
    that they stand for already.

    Raises:
        SettingError: no device has this name, a number makes no sense, or what is emulated would be emulated again.
    """
    from cluster.planning.machines import Machines
    from device_agent.known_devices import known_device, known_devices

    if emulated and (device_name or device_factor is not None):
        raise SettingError(
            f"this profile stands for a {emulated} already", mend="leave out --device and --device-factor"
        )
    factor, basis = device_factor, ""
    if device_name and factor is None:
        factor, basis = _predicted(device_name, backbone, whole_s, macs)
    name = device_name or emulated
    powers = {each.name: each.power.extra_w for each in known_devices()}
    if device_name:
        known_device(device_name)
    said = f"{emulated}, emulated in its profile" if emulated else device_name
    return Machines(
        device=said or ("the one measured" if factor in (None, 1.0) else "another one"),
        device_factor=1.0 if factor is None else factor,
        device_w=device_power_w if device_power_w is not None else powers.get(name or ""),
        cluster_factor=cluster_factor,
        basis=basis,
    )


def links(names: Sequence[str], mbps: float | None) -> "list[Link]":
    """Give the links that are named, in the order of their rates; with ``mbps`` one of them, at that rate.

    The downlink keeps its proportion to the uplink.

    Raises:
        SettingError: the rate is not above 0, or several links would have it.
    """
    from cluster.planning.tables import RADIOS

    if mbps is None:
        return [RADIOS[name] for name in LINKS if name in names or ALL in names]
    named = [name for name in names if name != ALL] or ["wifi"]
    if len(named) > 1 or not 0 < mbps < float("inf"):
        raise SettingError(
            f"{mbps:g} Mbit/s over {' and '.join(named)} is no link", mend="give one --link, and a rate above 0"
        )
    radio = RADIOS[named[0]]
    share = mbps * 1e6 / 8 / radio.uplink_bytes_s
    return [
        replace(
            radio, name=f"{named[0]} at {mbps:g} Mbit/s", uplink_bytes_s=radio.uplink_bytes_s * share,
            downlink_bytes_s=radio.downlink_bytes_s * share,
        )
    ]  # fmt: skip


def require_power(objective: str, machines: "Machines") -> None:
    """Refuse a plan for energy where nobody says what the device draws.

    Raises:
        SettingError: so it is.
    """
    if objective == "energy" and machines.device_w is None:
        raise SettingError(
            "the least energy cannot be found without the device's power",
            mend="name a known --device, or give --device-power-w",
        )


def _with(function: Function, *options: Callable[[Function], Function]) -> Function:
    """Add options, so that help lists them in this order."""
    for option in reversed(options):
        function = option(function)
    return function


def _predicted(name: str, backbone: str, whole_s: float | None, macs: int) -> tuple[float, str]:
    """Give the factor of a known device, and what it rests on."""
    from device_agent.device_prediction import predict_s
    from device_agent.known_devices import known_device

    predicted = predict_s(known_device(name), backbone, macs or None)
    if not whole_s:
        raise SettingError(
            f"nobody has measured {backbone} as a whole here, to compare a {name} with",
            mend="say how much slower it is: --device-factor",
        )
    error = f", within {predicted.error_ratio:.2f}× nine times of ten" if predicted.source == "predicted" else ""
    return predicted.seconds / whole_s, f"{backbone} in {predicted.seconds * 1e3:.1f} ms, {predicted.basis}{error}"
