"""A Triton that somebody else runs, such as NVIDIA's container in a replica's pod: found, asked and never stopped.

Owns how it is reached. Its models come from a folder that both see, and so do the graphs that the folder links to; its
command is the manifests' (``k8s/overlays/gpu``).
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tritonclient import utils
from tritonclient.grpc import InferenceServerClient

from wire.errors import SettingError, TritonUnavailable

READY_TIMEOUT_S: Final = 60.0
LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTriton:
    """Where it is, and what it takes to have it load models."""

    address: str
    """Host and port of its gRPC endpoint."""
    repository: Path
    """The folder of its models."""
    key_file: Path | None = None
    """Holds the key of its restricted protocols; None where it restricts none."""

    def key(self) -> str | None:
        """Read the key.

        Raises:
            SettingError: the file cannot be read, or is empty.
        """
        if self.key_file is None:
            return None
        try:
            key = self.key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"Triton's key cannot be read: {error}", mend="mend tail.key_file") from error
        if not key:
            raise SettingError(f"{self.key_file} is empty", mend="write the key of Triton's restricted protocols there")
        return key


class ExternalServer:
    """It, as ``TritonKeeper`` keeps one: starting it is waiting for it, and whoever runs it ends it."""

    def __init__(self, triton: ExternalTriton) -> None:
        self.repository, self.address = triton.repository, triton.address

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as can be told without asking."""
        return True

    def start(self) -> None:
        """Wait until it answers.

        Raises:
            TritonUnavailable: it does not.
        """
        until = time.monotonic() + READY_TIMEOUT_S
        while not self.responds(timeout_s=1.0):
            if time.monotonic() > until:
                raise TritonUnavailable(
                    f"no Triton answered at {self.address} for {READY_TIMEOUT_S:.0f} s",
                    mend="see that its container runs, and that tail.address is its gRPC port",
                )
            time.sleep(LOOK_S)

    def stop(self) -> None:
        """Leave it to whoever runs it."""

    def kill(self) -> None:
        """Leave it to whoever runs it: a kubelet that gets no answer from it either starts it again."""

    def responds(self, *, timeout_s: float) -> bool:
        """Ask whether it is alive, and tell whether it answered in time."""
        with InferenceServerClient(self.address) as client:
            try:
                return bool(client.is_server_live(client_timeout=timeout_s))
            except utils.InferenceServerException:
                return False
