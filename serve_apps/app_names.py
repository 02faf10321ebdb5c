"""What the Serve applications call each other, and what Serve tells them.

Owns the names. Imports no Ray.
"""

from typing import Final

CONTROL_APP: Final = "control"
BUNDLES: Final = "bundles"
"""The key of Serve's ``user_config`` with the bundles' folders: Serve tells running replicas when it changes."""


def app_name(point: str) -> str:
    """Name the Serve application of a point."""
    return f"point-{point}"
