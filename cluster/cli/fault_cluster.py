"""The cluster that faults strike: a process of ours, on a copy of the bundle and, where we may, on a disk of its own.

Owns the folder, the small disk and the second node. Everything that it starts ends with it.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from cluster.cli.fault_processes import ClusterProcesses
from cluster.free_ports import free_ports
from loadtests.child import Child
from loadtests.relay_connection import Address
from wire.errors import ClusterUnreachable

START_TIMEOUT_S: Final = 300.0
NODE_TIMEOUT_S: Final = 60.0
DISK_MB: Final = 600
"""Holds Ray's session, Triton's backends and HAProxy's files, which take about 150 MB."""
CARRIED: Final = ("RAY_SERVE_", "RAY_AUTH_", "RAY_TMPDIR", "TMPDIR")
"""Beginnings of what the first node's environment has that the second needs."""
OWN_PORTS: Final = (
    "RAY_SERVE_WORKER_PROXY_HTTP_PORT", "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT",
)  # fmt: skip
_RAY: Final = "from ray.scripts.scripts import main; main()"


class FaultCluster:
    """`isthmus up` on a copy of a bundle; a context manager. ``out`` takes the logs."""

    def __init__(self, bundle: Path, out: Path) -> None:
        self._source, self._out = bundle, out
        self._stack = ExitStack()
        self._logs: Path | None = None

    def __enter__(self) -> Self:
        """Start the cluster and wait until it answers.

        Raises:
            ClusterUnreachable: it does not start.
        """
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        # Short, for sockets lie in it, whose paths must not be long.
        folder = Path(tempfile.mkdtemp(prefix="if-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.disk = self._mounted(folder)
        self.bundle = self._out / "bundle"
        shutil.rmtree(self.bundle, ignore_errors=True)
        shutil.copytree(self._source, self.bundle)
        self.address: Address = ("127.0.0.1", free_ports(1)[0])
        command = [sys.executable, "-m", "cluster.cli.main", "up", str(self.bundle), "--json"]
        own_disk = {"TMPDIR": str(self.disk), "RAY_TMPDIR": str(self.disk)} if self.disk else {}
        up = Child(
            [*command, "--port", str(self.address[1])], log=self._out / "cluster.log", environment=own_disk
        )  # fmt: skip
        self._stack.callback(self._keep_logs)
        child = self._stack.enter_context(up)
        child.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
        self.processes = ClusterProcesses(child.process.pid)
        (line,) = (process.cmdline() for process in self.processes.of("raylet")[:1])
        session = next(word.partition("=")[2] for word in line if word.startswith("--session_dir="))
        self._logs = Path(session) / "logs"

    def _mounted(self, folder: Path) -> Path | None:
        """Mount a small disk in memory, if this user may."""
        if os.geteuid() != 0:
            return None
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return None
        self._stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], capture_output=True, check=False)
        return folder

    @property
    def logs(self) -> Path:
        """Where Ray keeps the logs of this cluster."""
        assert self._logs is not None, "enter the cluster first"
        return self._logs

    def _keep_logs(self) -> None:
        """Save what the cluster said from the small disk, which goes with it."""
        if self._logs is not None:
            shutil.rmtree(self._out / "ray-logs", ignore_errors=True)
            with contextlib.suppress(OSError):
                shutil.copytree(self._logs / "serve", self._out / "ray-logs")

    def start_node(self) -> "SecondNode":
        """Start another Ray node of this cluster on this machine; it ends with the cluster, if not before."""
        node = SecondNode(self.processes, self._out / "node.log")
        self._stack.callback(node.stop)
        node.start()
        return node


class SecondNode:
    """A raylet of its own, with the workers that it starts."""

    def __init__(self, cluster: ClusterProcesses, log: Path) -> None:
        self._cluster, self._log = cluster, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Join the cluster.

        Raises:
            ClusterUnreachable: it does not.
        """
        head = self._cluster.of("raylet")[0]
        gcs = next(word.partition("=")[2] for word in head.cmdline() if word.startswith("--gcs-address="))
        # What Serve and we told the first node, but for HAProxy's ports, since both are on one machine.
        environment = {name: value for name, value in head.environ().items() if name.startswith(CARRIED)}
        environment.update(zip(OWN_PORTS, map(str, free_ports(len(OWN_PORTS))), strict=True))
        command = [sys.executable, "-c", _RAY, "start", f"--address={gcs}", "--node-ip-address=127.0.0.1"]
        command += ["--num-cpus=4", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment},
                start_new_session=True,
            )  # fmt: skip
        self.processes = ClusterProcesses(self._process.pid)
        until_s = time.monotonic() + NODE_TIMEOUT_S
        while not self.processes.of("raylet"):
            if time.monotonic() > until_s or self._process.poll() is not None:
                raise ClusterUnreachable("the second node does not start", mend=f"look at {self._log}")
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill the raylet; its workers end since it is gone."""
        self.processes.strike("raylet")

    def stop(self) -> None:
        """End what is left of it."""
        if self._process is None:
            return
        for process in self.processes.all():
            process.kill()
        self._process.kill()
        self._process.wait()
