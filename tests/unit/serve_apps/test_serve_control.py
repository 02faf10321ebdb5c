import asyncio
import hashlib
from importlib.metadata import version

import pytest
from serve_fakes import request

from serve_apps import control
from serve_apps.bundle_shelf import BundleShelf
from serve_apps.control import ControlWeb
from wire.errors import BundleError, Overloaded, TailFailed, UnknownPoint
from wire.messages import PROTOCOL_VERSION, LoadSignal


def signal(point, state="ready"):
    return LoadSignal(
        point=point, state=state, service_s=0.01, queue_s=0.0, utilisation=0.25, in_flight=2, replicas=1
    )  # fmt: skip


@pytest.fixture
def signals():
    return [signal("input"), signal("mid")]


async def proves(_):
    """Any point answers a frame."""


class Updates:
    """Notes what is asked of it, and refuses with an error that it is given."""

    def __init__(self, refuses_with=None):
        self.begun = []
        self._refuses_with = refuses_with

    async def begin(self, folder, *, within_s):
        if self._refuses_with is not None:
            raise self._refuses_with
        self.begun.append((folder, within_s))

    def as_plain(self):
        return {"state": "loading" if self.begun else "idle"}


async def wake(point):
    if point == "mid":
        return signal(point, "starting")
    if point == "input":
        return signal(point)
    raise UnknownPoint(f"the cluster serves no point {point!r}")


def web(bundles, read_load, prove=proves, updates=None):
    return ControlWeb(BundleShelf(bundles), read_load, prove, wake=wake, updates=updates or Updates()).asgi


@pytest.fixture
def app(bundle, signals):
    async def read_load():
        return signals

    return web([bundle], read_load)


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
        "replicas": 1, "node_utilisation": 0.0, "cold_start_s": 0.0, "triton_queue_s": 0.0, "triton_compute_s": 0.0,
    }  # fmt: skip


async def test_a_cluster_whose_every_point_is_ready_is_well(app):
    response = await request(app, "GET", "/healthz")
    assert (response.status, response.json()) == (200, {"ready": True, "points": {"input": "ready", "mid": "ready"}})


async def test_a_cluster_with_a_point_that_idles_without_a_replica_is_well(app, signals):
    signals[1] = signal("mid", "cold")
    response = await request(app, "GET", "/healthz")
    assert (response.status, response.json()) == (200, {"ready": True, "points": {"input": "ready", "mid": "cold"}})


async def test_a_cluster_with_a_point_that_says_it_is_ready_but_answers_no_frame_is_unwell(bundle, signals):
    async def read_load():
        return signals

    async def prove(point):
        if point == "mid":
            raise TailFailed("Triton is away")

    response = await request(web([bundle], read_load, prove), "GET", "/healthz")
    assert (response.status, response.json()) == (503, {"ready": False, "points": {"input": "ready", "mid": "failing"}})


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

    app = web([bundle], never)
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


@pytest.mark.parametrize(
    ("point", "status", "state"),
    [("mid", 202, "starting"), ("input", 200, "ready"), ("nowhere", 404, None), ("", 404, None)],
)
async def test_a_point_is_woken_by_its_name_and_the_answer_says_how_it_stands(app, point, status, state):
    response = await request(app, "POST", f"/wake?point={point}")
    assert response.status == status
    assert response.json().get("state") == state


async def test_while_two_bundles_are_served_the_version_is_the_newer_and_the_files_of_both_can_be_had(
    bundle, make_bundle, signals
):
    old = make_bundle(created_by="before")

    async def read_load():
        return signals

    app = web([bundle, old], read_load)
    assert (await request(app, "GET", "/version")).json()["bundle"] == bundle.digest
    for each in (bundle, old):
        response = await request(app, "GET", f"/bundle/{each.digest}/manifest.json")
        assert hashlib.sha256(response.body).hexdigest() == each.digest


async def test_an_update_is_begun_with_the_folder_and_the_time_that_are_asked_for(bundle, signals):
    async def read_load():
        return signals

    updates = Updates()
    app = web([bundle], read_load, updates=updates)
    assert (await request(app, "GET", "/update")).json() == {"state": "idle"}
    response = await request(app, "POST", "/update", b'{"bundle": "/bundles/new", "within_s": 60}')
    assert (response.status, response.json()) == (202, {"state": "loading"})
    assert updates.begun == [("/bundles/new", 60.0)]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b'{"bundle": "/b"}', 400), (b'{"bundle": 3, "within_s": 1}', 400), (b" " * 20000, 413)],
)
async def test_an_update_that_is_not_asked_for_properly_is_refused(app, body, status):
    assert (await request(app, "POST", "/update", body)).status == status


@pytest.mark.parametrize(
    ("error", "status"), [(BundleError("no whole bundle"), 500), (Overloaded("another is under way"), 503)]
)
async def test_an_update_that_cannot_be_says_why(bundle, signals, error, status):
    async def read_load():
        return signals

    app = web([bundle], read_load, updates=Updates(error))
    response = await request(app, "POST", "/update", b'{"bundle": "/b", "within_s": 1}')
    assert (response.status, response.json()["message"]) == (status, error.message)
