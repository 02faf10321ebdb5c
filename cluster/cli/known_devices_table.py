"""The known devices as ``isthmus profile device --list`` shows them: what they take, and how well that is known.

Imported by the command alone, when it runs.
"""

from typing import Final

from rich.table import Table

from cluster.cli.screen import output
from device_agent.device_prediction import leave_one_out, predict_s, summarise
from device_agent.known_devices import known_devices

LISTED: Final = "efficientnet-lite0"


def print_known_devices() -> None:
    """Print a row a device, and what leaving one out came to."""
    left = leave_one_out()
    table = Table(title=f"known devices: one picture through {LISTED}", title_justify="left")
    for heading in ("name", "device", "ms", "is", "half within", "9 of 10 within"):
        table.add_column(heading, justify="left" if heading in ("name", "device", "is") else "right")
    for each in known_devices():
        time = predict_s(each, LISTED)
        own = [one for one in left if one.cell.device == each.name]
        errors = (f"×{error:.2f}" for error in (summarise(own).half_within, summarise(own).nine_tenths_within))
        table.add_row(each.name, each.title, f"{time.seconds * 1e3:.1f}", time.basis, *(errors if own else ("", "")))
    output().print(table)
    every = summarise(left)
    output().print(
        f"Leave one out: each of {every.cells} published times predicted from all the others; half of them within a "
        f"factor of {every.half_within:.2f}, nine of ten within {every.nine_tenths_within:.2f}.", markup=False,
    )  # fmt: skip
