import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from good_manifests import good_objects

from cluster.cli.main import isthmus
from cluster.kubernetes import check
from cluster.kubernetes.check import check_folder, check_objects
from cluster.kubernetes.crd_schemas import FILES, crd_schema, write_schemas
from cluster.kubernetes.openapi_schema import StrictValidator, strict, with_defaults
from cluster.kubernetes.plain import place
from cluster.kubernetes.render import render_folder
from wire.errors import SettingError

OVERLAYS = Path(__file__).parents[3] / "k8s" / "overlays"

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def found(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(plain for plain in objects if plain["kind"] == kind)


def test_a_good_rendering_has_no_faults() -> None:
    assert check_objects(good_objects()) == []


def test_all_faults_are_collected() -> None:
    objects = good_objects()
    found(objects, "Ingress")["spec"]["tls"][0]["secretName"] = "gone"
    container = found(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    container["image"], container["imagePolicy"] = "agent", "Always"
    assert [(fault.subject, fault.path) for fault in check_objects(objects)] == [
        ("Deployment/agent", "spec.template.spec.containers[0].image"),
        ("Deployment/agent", "spec.template.spec.containers[0].imagePolicy"),
        ("Ingress/made", "spec.tls[0]"),
    ]


@pytest.mark.parametrize("nonsense", ["text", 7, None, [], {}, [[]], ["text"], {"a": None}])
def test_what_is_of_the_wrong_shape_is_a_fault_and_stops_no_check(nonsense: Any) -> None:
    for plain in good_objects():
        for key in plain:
            objects = good_objects()
            next(same for same in objects if same == plain)[key] = nonsense
            check_objects(objects)
    assert check_objects([{"kind": "Deployment", "spec": nonsense}]) != []


def test_a_head_without_a_port_for_serve_gets_no_service_for_it() -> None:
    objects = good_objects()
    ray = found(objects, "RayService")["spec"]["rayClusterConfig"]
    ray["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "gcs", "containerPort": 6379}]
    missed = {fault.sentence for fault in check_objects(objects)}
    assert "there is no Service/ray-serve-svc in the namespace made" in missed
    assert "Service/ray-head-svc has no port 8000" in missed


def test_a_head_without_ports_has_rays_own() -> None:
    objects = good_objects()
    ray = found(objects, "RayService")["spec"]["rayClusterConfig"]
    del ray["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"]
    assert check_objects(objects) == []


def test_a_service_of_ones_own_for_serve_is_found_by_its_name() -> None:
    objects = good_objects()
    found(objects, "RayService")["spec"]["serveService"] = {
        "metadata": {"name": "front"},
        "spec": {"ports": [{"name": "serve", "port": 80, "targetPort": 8000}]},
    }
    route = found(objects, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]
    route["name"], route["port"] = "front", 80
    found(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"].pop(0)
    found(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"] = ["ws://front/v1"]
    assert check_objects(objects) == []


def test_the_labels_that_a_ray_service_gives_late_may_be_selected() -> None:
    objects = good_objects()
    selector = {"ray.io/cluster": "ray-abcde", "ray.io/serve": "true", "ray.io/node-type": "worker"}
    found(objects, "Service")["spec"] = {"selector": selector, "ports": [{"port": 8000}]}
    found(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"].pop()
    assert check_objects(objects) == []


def test_defaults_are_filled_in_before_what_is_required_is_missed() -> None:
    port = {
        "type": "object",
        "required": ["number", "protocol"],
        "properties": {"number": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
    }
    ports = {"type": "object", "properties": {"ports": {"type": "array", "items": port}}}
    filled = with_defaults(ports, {"ports": [{"number": 1}, {"number": 2, "protocol": "UDP"}]})
    assert filled == {"ports": [{"number": 1, "protocol": "TCP"}, {"number": 2, "protocol": "UDP"}]}
    assert StrictValidator(strict(ports)).is_valid(filled)


@pytest.mark.parametrize(
    ("schema", "value", "good"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"b": "c"}, False),
        ({"type": "object"}, {"b": "c"}, False),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"b": {"c": 1}}, True),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"b": "c"}, True),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"b": 1}, False),
        ({"x-kubernetes-int-or-string": True}, 80, True),
        ({"x-kubernetes-int-or-string": True}, "web", True),
        ({"x-kubernetes-int-or-string": True}, 0.5, False),
        ({"type": "string", "nullable": True}, None, True),
        ({"type": "string"}, None, False),
    ],
)
def test_a_structural_schema_means_what_the_api_server_takes_it_for(
    schema: dict[str, Any], value: Any, *, good: bool
) -> None:
    assert StrictValidator(strict(schema)).is_valid(value) is good


def test_the_small_schemas_have_no_descriptions_and_are_the_same_each_time(tmp_path: Path) -> None:
    schema = {"description": "x", "properties": {"description": {"type": "string", "description": "y"}}}
    definition = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}
    (tmp_path / "made.yaml").write_text(yaml.safe_dump(definition), encoding="utf-8")
    (file,) = write_schemas(tmp_path, tmp_path)
    before = file.read_bytes()
    assert json.loads(gzip.decompress(before)) == {"properties": {"description": {"type": "string"}}}
    write_schemas(tmp_path, tmp_path)
    assert file.read_bytes() == before


def test_a_folder_without_definitions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"has no \*\.yaml"):
        write_schemas(tmp_path, tmp_path)


def test_the_shipped_schemas_are_of_whole_resources() -> None:
    for api_version, kind in FILES:
        schema = crd_schema(api_version, kind)
        assert schema is not None
        assert {"apiVersion", "kind", "metadata", "spec"} <= schema["properties"].keys()


def test_a_place_reads_as_people_write_it() -> None:
    assert place("spec", "ports", 0, "name") == "spec.ports[0].name"
    assert place("", "metadata", "labels", "ray.io/group") == "metadata.labels[ray.io/group]"


def test_without_kubectl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingError, match="kubectl is not on the PATH"):
        render_folder(tmp_path)


@needs_kubectl
def test_kubectl_renders_what_is_checked(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(good_objects()), encoding="utf-8")
    (tmp_path / "kustomization.yaml").write_text("resources: [all.yaml]\n", encoding="utf-8")
    checked = check_folder(tmp_path)
    assert (checked.overlay, checked.objects, checked.faults) == (tmp_path.name, len(good_objects()), ())


@needs_kubectl
def test_what_kubectl_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [gone.yaml]\n", encoding="utf-8")
    with pytest.raises(SettingError, match=r"(?s)does not render.*gone\.yaml"):
        check_folder(tmp_path)


@needs_kubectl
def test_the_overlays_of_the_repository_have_no_faults() -> None:
    folders = sorted(file.parent for file in OVERLAYS.glob("*/kustomization.yaml"))
    assert folders
    assert [fault for folder in folders for fault in check_folder(folder).faults] == []


@pytest.fixture
def overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two overlays below the folder in which the command runs, and the objects that each of them renders to."""
    for name in ("cloud", "local"):
        folder = tmp_path / "k8s" / "overlays" / name
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").touch()
    objects = good_objects()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "render_folder", lambda folder: objects)
    return objects


def run(*words: str) -> Result:
    return CliRunner().invoke(isthmus, ["manifests", "check", *words])


def test_every_overlay_without_faults_is_one_line(overlays: list[dict[str, Any]]) -> None:
    done = run()
    count = len(overlays)
    assert (done.exit_code, done.stdout) == (
        0, f"cloud: {count} objects, no faults\nlocal: {count} objects, no faults\n",
    )  # fmt: skip


def test_a_fault_is_shown_with_its_place_and_ends_the_command_with_1(overlays: list[dict[str, Any]]) -> None:
    found(overlays, "Ingress")["spec"]["tls"][0]["secretName"] = "gone"
    done = run("k8s/overlays/local")
    assert done.exit_code == 1
    assert all(part in done.stdout for part in ("Ingress/made", "spec.tls[0]", "there is no Secret/gone"))
    assert done.stdout.endswith(f"local: {len(overlays)} objects, 1 fault\n")


def test_faults_are_told_to_programs(overlays: list[dict[str, Any]]) -> None:
    found(overlays, "Ingress")["spec"]["tls"][0]["secretName"] = "gone"
    done = run("k8s/overlays/local", "--json")
    assert done.exit_code == 1
    (told,) = json.loads(done.stdout)
    assert (told["overlay"], told["objects"]) == ("local", len(overlays))
    assert told["faults"] == [
        {
            "overlay": "local",
            "subject": "Ingress/made",
            "path": "spec.tls[0]",
            "sentence": "there is no Secret/gone in the namespace made",
        }
    ]


def test_without_overlays_the_command_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = run().exception
    assert isinstance(error, SettingError)
    assert error.message == "no folder below k8s/overlays has a kustomization.yaml"
