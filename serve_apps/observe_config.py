"""What is told of a cluster beside its answers: the form and level of its logs, and where frames are traced to.

Owns these settings. Imports no Ray.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from wire.records import Length

COLLECTORS: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveConfig:
    """What the processes of a cluster tell."""

    log: Literal["text", "json"] = "text"
    """The form of each replica's log, which is its standard error; Ray keeps it as a file."""
    level: Literal["debug", "info", "warning", "error"] = "warning"
    trace: Annotated[str, Length(4096, least=1)] | None = None
    """Where spans go: a file of each node, or the URL of an OpenTelemetry collector; None: frames are not traced."""

    def beside(self, folder: Path) -> Self:
        """Give the same with a file's path relative to a folder; replicas run in folders of their own."""
        if self.trace is None or self.trace.startswith(COLLECTORS):
            return self
        return replace(self, trace=str(folder.absolute() / self.trace))
