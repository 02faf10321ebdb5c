import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.triton import server
from cluster.triton.repository import NOOP_MODEL, PYTHON_MODEL, ModelSpec, bar_bytecode, model_config, write_model
from cluster.triton.server import find_triton, triton_environment
from wire.errors import TritonUnavailable
from wire.tensor_form import TensorForm


@pytest.fixture
def spec(tmp_path):
    graph = tmp_path / "bundle" / "cluster.onnx"
    graph.parent.mkdir()
    graph.write_bytes(b"a graph")
    return ModelSpec(name="abc-1-python-16", graph=graph, form=TensorForm.symbols((4, 8, 8)), classes=10, max_batch=16)


def test_the_config_says_the_tensors_the_batch_and_where_the_model_runs(spec):
    assert model_config(spec) == (
        'name: "abc-1-python-16"\n'
        'backend: "python"\n'
        "max_batch_size: 16\n"
        'input [ { name: "symbols" data_type: TYPE_UINT8 dims: [ 4, 8, 8 ] } ]\n'
        'output [ { name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] } ]\n'
        "instance_group [ { count: 1 kind: KIND_CPU } ]\n"
    )


@pytest.mark.parametrize(
    ("form", "line"),
    [
        (TensorForm.symbols((4, 8, 8), "float32"), 'name: "symbols" data_type: TYPE_FP32 dims: [ 4, 8, 8 ]'),
        (TensorForm.pixels(32, 48), 'name: "pixels" data_type: TYPE_UINT8 dims: [ 32, 48, 3 ]'),
    ],
)
def test_the_config_says_the_tensor_that_the_graph_takes(spec, form, line):
    assert f"input [ {{ {line} }} ]\n" in model_config(replace(spec, form=form))


def test_tritons_own_backend_and_a_gpu_are_a_word_each(spec):
    config = model_config(replace(spec, backend="onnxruntime", kind="KIND_GPU"))
    assert 'backend: "onnxruntime"' in config
    assert "kind: KIND_GPU" in config


@pytest.mark.parametrize(("backend", "model"), [("python", PYTHON_MODEL), ("noop", NOOP_MODEL), ("onnxruntime", None)])
def test_a_models_folder_holds_config_graph_and_what_its_backend_needs(tmp_path, spec, backend, model):
    spec = replace(spec, backend=backend)
    folder = write_model(tmp_path / "models", spec)
    assert folder == tmp_path / "models" / "abc-1-python-16"
    assert (folder / "config.pbtxt").read_text() == model_config(spec)
    assert (folder / "1" / "model.onnx").read_bytes() == b"a graph"
    own = {"model.py", "__pycache__"} if model else set()
    assert {path.name for path in (folder / "1").iterdir()} == {"model.onnx"} | own
    if model:
        assert (folder / "1" / "model.py").read_text() == model.read_text()


def test_a_model_without_a_graph_has_none(tmp_path, spec):
    folder = write_model(tmp_path / "models", replace(spec, graph=None, backend="noop"))
    assert sorted(path.name for path in (folder / "1").iterdir()) == ["__pycache__", "model.py"]


def test_no_half_of_a_compiled_module_is_left_where_python_imports_from(tmp_path):
    (tmp_path / "whole.py").write_text("answer = 42")
    bar_bytecode(tmp_path)
    command = [sys.executable, "-c", "import whole; print(whole.answer)"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout == "42\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["__pycache__", "whole.py"]
    assert (tmp_path / "__pycache__").is_file()


def test_a_graph_is_found_from_anywhere_though_it_was_named_from_here(tmp_path, spec, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_model(tmp_path / "models", replace(spec, graph=spec.graph.relative_to(tmp_path)))
    monkeypatch.chdir("/")
    assert (folder / "1" / "model.onnx").read_bytes() == b"a graph"


def test_a_model_written_again_is_replaced_and_nothing_half_written_stays(tmp_path, spec):
    models = tmp_path / "models"
    (models / ".abc-1-python-16.partial").mkdir(parents=True)
    write_model(models, spec)
    folder = write_model(models, replace(spec, max_batch=4, backend="onnxruntime"))
    assert "max_batch_size: 4" in (folder / "config.pbtxt").read_text()
    assert not (folder / "1" / "model.py").exists()
    assert [path.name for path in models.iterdir()] == ["abc-1-python-16"]


@pytest.fixture
def on_linux(monkeypatch):
    monkeypatch.setattr(server, "sys", SimpleNamespace(platform="linux", version_info=sys.version_info))
    monkeypatch.setattr(server.platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("on_linux")
class TestFindTriton:
    @pytest.mark.parametrize(("system", "machine"), [("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64")])
    def test_a_platform_without_a_wheel_is_named_and_the_way_without_triton_too(self, monkeypatch, system, machine):
        monkeypatch.setattr(server.sys, "platform", system)
        monkeypatch.setattr(server.platform, "machine", lambda: machine)
        with pytest.raises(TritonUnavailable, match=f"no Triton wheel for {system} on {machine}") as caught:
            find_triton()
        assert "--tail onnxruntime" in caught.value.mend

    def test_a_wheel_that_is_not_installed_is_named_with_the_command_that_does(self, monkeypatch):
        monkeypatch.setattr(server.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(TritonUnavailable, match="not installed") as caught:
            find_triton()
        assert "pip install" in caught.value.mend

    def test_every_part_that_the_wheel_lacks_is_named(self, monkeypatch, tmp_path):
        package = tmp_path / "pytriton"
        package.mkdir()
        found = SimpleNamespace(origin=str(package / "__init__.py"))
        monkeypatch.setattr(server.importlib.util, "find_spec", lambda _: found)
        stub = f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
        parts = [
            package / "tritonserver/bin/tritonserver",
            tmp_path / "nvidia_pytriton.libs",
            package / "tritonserver/backends/python",
            package / "tritonserver" / stub,
        ]
        for part in parts:
            with pytest.raises(TritonUnavailable, match=f"has no {part.relative_to(tmp_path)}") as caught:
                find_triton()
            assert "--tail onnxruntime" in caught.value.mend
            part.mkdir(parents=True)
        files = find_triton()
        assert [files.server, files.libraries, files.python_backend, files.stub] == parts


def test_a_server_that_was_never_started_is_not_alive_and_stops_without_a_word(tmp_path):
    idle = server.TritonServer(tmp_path)
    idle.stop()
    assert not idle.alive


def test_the_models_of_triton_find_the_packages_of_this_interpreter_first():
    environment = triton_environment(find_triton())

    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert "PYTHONPATH" not in environment
