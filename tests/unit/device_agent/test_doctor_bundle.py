import hashlib
from pathlib import Path

import pytest
from doctor_fakes import FAR, FakeFetch, found, loads_page, one, signal

from device_agent.bundle_cache import BundleCache
from device_agent.cluster_info import ClusterVersion
from device_agent.doctor.bundle_checks import BundleCheck, DigestCheck
from device_agent.doctor.deployment import Deployment
from device_agent.doctor.examination import ExaminationSettings
from device_agent.doctor.load_check import LoadCheck, judged
from wire.bundle import Bundle
from wire.errors import BundleError, ClusterUnreachable, SettingError
from wire.ids import BundleDigest, DeviceId
from wire.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, FileEntry, Input, Manifest, dump_manifest

FILES = {"labels.txt": b"cat\ndog\n", "a/head.onnx": b"graph"}
OTHER = BundleDigest("cd" * 32)


@pytest.fixture
def own(tmp_path: Path) -> Bundle:
    """A bundle in a folder."""
    folder = tmp_path / "own"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    files = tuple(FileEntry(name, hashlib.sha256(data).hexdigest(), len(data), "both") for name, data in FILES.items())
    manifest = Manifest(
        schema=MANIFEST_SCHEMA, backbone="tiny", created_by="tests", input=Input(8, 8, 8), labels="labels.txt",
        baseline_top1=0.0, options=(), files=(*files, FileEntry("tail.onnx", "0" * 64, 5, "cluster")),
    )  # fmt: skip
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))
    return Bundle.open(folder, "device")


@pytest.fixture
def fetch(own: Bundle) -> FakeFetch:
    """A cluster that serves it."""
    base = f"/v1/bundle/{own.digest}"
    manifest = (own.directory / MANIFEST_NAME).read_bytes()
    return FakeFetch(
        {f"{base}/{MANIFEST_NAME}": manifest, **{f"{base}/files/{name}": data for name, data in FILES.items()}}
    )


@pytest.fixture
def deployment(own: Bundle) -> Deployment:
    return Deployment(FAR, version=ClusterVersion("1.0", 1, own.digest))


def test_without_a_wish_the_digest_that_is_served_is_said(own: Bundle, deployment: Deployment) -> None:
    finding = one(DigestCheck(deployment))
    assert (finding.verdict, finding.sentence) == ("ok", f"the cluster serves the bundle {own.digest[:12]}")


def test_a_folder_and_the_first_digits_name_the_bundle_that_is_wanted(own: Bundle, deployment: Deployment) -> None:
    by_folder = one(DigestCheck(deployment, folder=own.directory))
    assert (by_folder.verdict, by_folder.figures) == ("ok", {"served": own.digest, "wanted": own.digest})
    assert one(DigestCheck(deployment, digest=own.digest[:8])).verdict == "ok"


def test_two_digests_that_differ_are_both_named_and_given_whole_to_programs(
    own: Bundle, deployment: Deployment
) -> None:
    finding = one(DigestCheck(deployment, digest=OTHER))
    assert finding.verdict == "fail"
    assert f"serves the bundle {own.digest[:12]}, and not {OTHER[:12]}" in finding.sentence
    assert finding.figures == {"served": own.digest, "wanted": OTHER}
    assert finding.mend


def test_a_folder_that_holds_no_bundle_is_a_failure(deployment: Deployment, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        one(DigestCheck(deployment, folder=tmp_path))


@pytest.mark.parametrize("digits", ["", "abc", "ABCDEF012", "ab" * 33, "no digest"])
def test_what_is_no_digest_is_refused(digits: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        ExaminationSettings(server=FAR, device=DeviceId("d"), cache=tmp_path, digest=digits)


def test_a_folder_and_a_digest_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--bundle and --digest"):
        ExaminationSettings(server=FAR, device=DeviceId("d"), cache=tmp_path, digest="ab" * 8, bundle=tmp_path)


def bundle_check(deployment: Deployment, fetch: FakeFetch, cache: Path, *, anew: bool = False) -> BundleCheck:
    return BundleCheck(deployment, fetch, BundleCache(cache), lambda _done, _total: None, anew=anew)


def test_what_the_cache_lacks_is_fetched_and_checked_and_the_next_time_only_the_manifest(
    own: Bundle, deployment: Deployment, fetch: FakeFetch, tmp_path: Path
) -> None:
    first = one(bundle_check(deployment, fetch, tmp_path / "cache"))
    assert (first.verdict, first.figures["fetched"], first.figures["files"]) == ("ok", True, 2)
    assert deployment.bundle is not None
    assert deployment.bundle.digest == own.digest
    fetch.asked.clear()
    second = one(bundle_check(deployment, fetch, tmp_path / "cache"))
    assert second.figures["fetched"] is False
    assert "lie in the cache" in second.sentence
    assert [path for _, path in fetch.asked] == [f"/v1/bundle/{own.digest}/{MANIFEST_NAME}"]


def test_the_users_own_folder_is_used_where_it_is_what_is_served(
    own: Bundle, deployment: Deployment, fetch: FakeFetch, tmp_path: Path
) -> None:
    one(DigestCheck(deployment, folder=own.directory))
    finding = one(bundle_check(deployment, fetch, tmp_path / "cache"))
    assert finding.figures["fetched"] is False
    assert deployment.bundle is deployment.wanted
    one(bundle_check(deployment, fetch, tmp_path / "new", anew=True))
    assert deployment.bundle is not deployment.wanted


def test_a_file_that_is_another_or_is_not_there_is_a_failure(
    own: Bundle, deployment: Deployment, fetch: FakeFetch, tmp_path: Path
) -> None:
    path = f"/v1/bundle/{own.digest}/files/a/head.onnx"
    fetch.pages[path] = b"grape"
    with pytest.raises(BundleError, match=r"head\.onnx has changed"):
        one(bundle_check(deployment, fetch, tmp_path / "cache"))
    del fetch.pages[path]
    with pytest.raises(ClusterUnreachable, match=r"head\.onnx is not there"):
        one(bundle_check(deployment, fetch, tmp_path / "cache"))


def test_a_manifest_that_is_another_is_a_failure_though_the_bundle_lies_here(
    own: Bundle, deployment: Deployment, fetch: FakeFetch, tmp_path: Path
) -> None:
    one(DigestCheck(deployment, folder=own.directory))
    fetch.pages[f"/v1/bundle/{own.digest}/{MANIFEST_NAME}"] += b"\n"
    with pytest.raises(BundleError, match="has the digest"):
        one(bundle_check(deployment, fetch, tmp_path / "cache"))


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "ok", "ready: 1 replica, 10% busy; a frame waits 0.0 ms, takes 20.0 ms"),
        ({"queue_s": 0.049}, "ok", "waits 49.0 ms"),
        ({"queue_s": 0.06}, "warn", "is overloaded"),
        ({"service_s": 0.1, "queue_s": 0.09}, "ok", "waits 90.0 ms"),
        ({"utilisation": 0.95, "replicas": 2}, "warn", "is overloaded: 2 replicas, 95% busy"),
        ({"state": "cold", "replicas": 0, "cold_start_s": 9.6}, "warn", "its first frame waits about 10 s"),
        ({"state": "starting", "replicas": 0}, "warn", "no replica is ready yet"),
        ({"state": "draining"}, "warn", "1 replica left, and stopping"),
    ],
)
def test_each_state_of_a_point_has_its_sentence(changes: dict[str, object], verdict: str, words: str) -> None:
    given, sentence, mend = judged(signal(**changes))
    assert given == verdict
    assert words in sentence
    assert (mend != "") == (verdict != "ok")


def test_every_point_has_its_finding_and_its_figures() -> None:
    deployment = Deployment(FAR)
    loads = (signal("shallow"), signal("deep", state="cold", replicas=0))
    findings = found(LoadCheck(deployment, FakeFetch({"/v1/load": loads_page(*loads)})))
    assert [(finding.subject, finding.verdict) for finding in findings] == [("shallow", "ok"), ("deep", "warn")]
    assert findings[0].figures["service_s"] == 0.02
    assert deployment.loads == loads


def test_a_cluster_that_serves_no_point_is_a_failure() -> None:
    assert one(LoadCheck(Deployment(FAR), FakeFetch({"/v1/load": loads_page()}))).verdict == "fail"
