import asyncio
import hashlib
from importlib.metadata import version

import pytest
from serve_fakes import request

from serve_apps import control
from serve_apps.control import ControlWeb
from wire.messages import PROTOCOL_VERSION, LoadSignal


def signal(point, state="ready"):
    return LoadSignal(
        point=point, state=state, service_s=0.01, queue_s=0.0, utilisation=0.25, in_flight=2, replicas=1
    )  # fmt: skip


@pytest.fixture
def signals():
    return [signal("input"), signal("mid")]


@pytest.fixture
def app(bundle, signals):
    async def read_load():
        return signals

    return ControlWeb(bundle, read_load).asgi


async def test_the_version_says_the_release_the_protocol_and_the_bundle(app, bundle):
    response = await request(app, "GET", "/version")
    assert response.status == 200
    assert response.json() == {
        "isthmus": version("isthmus"), "protocol": PROTOCOL_VERSION, "bundle": bundle.digest,
    }  # fmt: skip


async def test_the_load_is_the_signal_of_every_point(app):
    points = (await request(app, "GET", "/load")).json()["points"]
    assert [point["point"] for point in points] == ["input", "mid"]
    assert points[0] == {
        "point": "input", "state": "ready", "service_s": 0.01, "queue_s": 0.0, "utilisation": 0.25, "in_flight": 2,
        "replicas": 1,
    }  # fmt: skip


async def test_a_cluster_whose_every_point_is_ready_is_well(app):
    response = await request(app, "GET", "/healthz")
    assert (response.status, response.json()) == (200, {"ready": True, "points": {"input": "ready", "mid": "ready"}})


@pytest.mark.parametrize("state", ["starting", "draining"])
async def test_a_cluster_with_a_point_that_is_not_ready_is_unwell_and_says_which(app, signals, state):
    signals[1] = signal("mid", state)
    response = await request(app, "GET", "/healthz")
    assert (response.status, response.json()) == (503, {"ready": False, "points": {"input": "ready", "mid": state}})


async def test_a_cluster_that_serves_no_point_is_unwell(app, signals):
    signals.clear()
    assert (await request(app, "GET", "/healthz")).status == 503


async def test_tails_that_do_not_answer_in_time_make_the_cluster_unwell_and_hang_nobody(bundle, monkeypatch):
    monkeypatch.setattr(control, "LOAD_TIMEOUT_S", 0.01)

    async def never():
        await asyncio.Event().wait()

    app = ControlWeb(bundle, never).asgi
    assert (await request(app, "GET", "/healthz")).status == 503
    assert (await request(app, "GET", "/load")).json() == {"points": []}


async def test_a_device_fetches_the_manifest_and_every_file_of_the_bundle_by_its_digest(app, bundle):
    manifest = await request(app, "GET", f"/bundle/{bundle.digest}/manifest.json")
    assert manifest.status == 200
    assert hashlib.sha256(manifest.body).hexdigest() == bundle.digest
    for entry in bundle.manifest.files:
        response = await request(app, "GET", f"/bundle/{bundle.digest}/files/{entry.path}")
        assert (response.status, len(response.body)) == (200, entry.size_bytes)
        assert hashlib.sha256(response.body).hexdigest() == entry.sha256


@pytest.mark.parametrize("path", ["manifest.json", "files/labels.txt"])
async def test_another_digest_is_a_conflict_that_names_the_one_that_is_served(app, bundle, path):
    response = await request(app, "GET", f"/bundle/{'ab' * 32}/{path}")
    assert (response.status, response.json()["code"]) == (409, "wrong_bundle")
    assert bundle.digest in response.json()["message"]
    assert response.json()["mend"]


@pytest.mark.parametrize(
    "path",
    [
        "files/../secret.txt",
        "files/../../secret.txt",
        "files//etc/passwd",
        "files/labels.txt/../../secret.txt",
        "files/./labels.txt",
        "files/",
        "files/manifest.json",
        "files/secret.txt",
        "../secret.txt",
        "secret.txt",
    ],
)
async def test_no_path_leads_out_of_the_bundle(app, bundle, path):
    secret = bundle.directory.parent / "secret.txt"
    secret.write_text("secret")
    (bundle.directory / "secret.txt").write_text("secret")
    response = await request(app, "GET", f"/bundle/{bundle.digest}/{path}")
    assert response.status == 404
    assert response.body != b"secret"
    assert response.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/points/nowhere/stream"), ("POST", "/points/nowhere/frame")]
)
async def test_an_unknown_path_is_answered_with_the_points_that_there_are(app, method, path):
    response = await request(app, method, path)
    assert (response.status, response.json()["code"]) == (404, "unknown_point")
    assert response.json()["mend"] == "points: input, mid, real"
