"""The embedded Triton: the real ``tritonserver`` of the ``nvidia-pytriton`` wheel, as a child process.

Owns the process, its environment and its folder. Knows nothing of Ray, points or bundles.
"""

import contextlib
import ctypes
import http.client
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.free_ports import free_ports
from cluster.triton.repository import bar_bytecode
from wire.errors import TritonUnavailable

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 10.0
MODEL_START_S: Final = 300
SHARED_MEMORY: Final = Path("/dev/shm")
PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class TritonFiles:
    """Where the wheel keeps what we need."""

    server: Path
    libraries: Path
    python_backend: Path
    stub: Path


class TritonServer:
    """One running Triton with an empty repository under explicit control, listening on loopback only.

    One that ended may be started again: it gets new ports, and has no model loaded.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare a server whose models, backends and log lie in ``folder``."""
        self.repository = folder / "models"
        self._folder = folder
        self._log = folder / "triton.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.grpc_port = 0
        self._http_port = 0
        self._shared_prefix = ""

    @property
    def address(self) -> str:
        """Host and port of the gRPC endpoint."""
        return f"127.0.0.1:{self.grpc_port}"

    def start(self) -> None:
        """Start Triton and wait until it is ready.

        Raises:
            TritonUnavailable: there is none for this platform, or it ends or stays silent.
        """
        files = find_triton()
        self.repository.mkdir(parents=True, exist_ok=True)
        backends = lay_out_backends(files, self._folder / "backends")
        self.grpc_port, self._http_port = free_ports(2)
        self._shared_prefix = f"isthmus-{os.getpid()}-{self.grpc_port}"
        command = [
            str(files.server),
            f"--model-repository={self.repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",
            "--allow-metrics=false",
            "--allow-gpu-metrics=false",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.grpc_port}",
            "--http-address=127.0.0.1",
            f"--http-port={self._http_port}",
            "--disable-auto-complete-config",
            f"--backend-config=python,shm-region-prefix-name={self._shared_prefix}",
            # Triton dies where a model's process starts more slowly than in its 30 s, as beside much else on few cores.
            f"--backend-config=python,stub-timeout-seconds={MODEL_START_S}",
        ]
        libc = ctypes.CDLL(None)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=triton_environment(files),
                start_new_session=True,
                # Triton must not outlive us, however we end.
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the process; a second call does nothing."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End the process and its models' at once, and free the memory that they shared; they may hang, or be dead."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own, so its models' processes too
        process.wait()
        for region in SHARED_MEMORY.glob(f"{self._shared_prefix}*"):
            region.unlink(missing_ok=True)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def responds(self, *, timeout_s: float) -> bool:
        """Ask whether it is alive, and tell whether it answered in time."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http_port}/v2/health/live", timeout=timeout_s):
                return True
        except (OSError, http.client.HTTPException):  # URLError and a time-out are OSErrors
            return False

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        until = time.monotonic() + READY_TIMEOUT_S
        url = f"http://127.0.0.1:{self._http_port}/v2/health/ready"
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise TritonUnavailable(
                    f"tritonserver ended with code {self._process.returncode}: {self._last_words()}",
                    mend=f"read {self._log}",
                )
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.1)
        self.stop()
        raise TritonUnavailable(f"tritonserver was not ready after {READY_TIMEOUT_S:.0f} s", mend=f"read {self._log}")

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no output"


def find_triton() -> TritonFiles:
    """Find the server in the installed wheel.

    Raises:
        TritonUnavailable: the wheel does not exist for this platform, is not installed, or lacks a part.
    """
    mend = "serve with `isthmus up --tail onnxruntime`, which needs no Triton"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise TritonUnavailable(f"there is no Triton wheel for {sys.platform} on {platform.machine()}", mend=mend)
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise TritonUnavailable("nvidia-pytriton is not installed", mend=f"pip install 'isthmus[cluster]', or {mend}")
    package = Path(spec.origin).parent
    root = package / "tritonserver"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    files = TritonFiles(
        server=root / "bin" / "tritonserver",
        libraries=package.parent / "nvidia_pytriton.libs",
        python_backend=root / "backends" / "python",
        stub=root / "python_backend_stubs" / python / "triton_python_backend_stub",
    )
    for path in (files.server, files.libraries, files.python_backend, files.stub):
        if not path.exists():
            raise TritonUnavailable(f"the nvidia-pytriton wheel has no {path.relative_to(package.parent)}", mend=mend)
    return files


def lay_out_backends(files: TritonFiles, folder: Path) -> Path:
    """Lay out a Python backend with the stub of this Python version beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "python").mkdir(parents=True)
    for file in (*files.python_backend.glob("*.so"), *files.python_backend.glob("*.py"), files.stub):
        shutil.copy(file, folder / "python" / file.name)
    bar_bytecode(folder / "python")
    return folder


def triton_environment(files: TritonFiles) -> dict[str, str]:
    """Give the whole environment of the server: nothing of ours that it does not need."""
    libraries = [str(files.libraries), sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        # The stub's interpreter ignores PYTHONPATH and takes the packages of the first python3 on the PATH, so that
        # has to be ours, whether or not its virtual environment was activated.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "HOME": os.environ.get("HOME", "/"),
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
        "ISTHMUS_TAIL_THREADS": os.environ.get("ISTHMUS_TAIL_THREADS", "1"),
    }
