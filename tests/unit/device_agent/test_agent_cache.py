import hashlib
from pathlib import Path

import pytest

from device_agent.addresses import ServerAddress
from device_agent.bundle_cache import BundleCache
from device_agent.bundle_finder import BundleFinder
from device_agent.device_profile import ProfileStore
from wire.errors import BundleError, ClusterUnreachable
from wire.ids import BundleDigest, OptionId, PointName
from wire.manifest import (
    MANIFEST_SCHEMA,
    FileEntry,
    Input,
    Macs,
    Manifest,
    Measured,
    Option,
    digest_of,
    dump_manifest,
)

SERVER = ServerAddress("host", 8765)
MEASURED = Measured(
    dataset="none",
    pictures=0,
    top1=0.5,
    top1_drop=0.0,
    top5=0.9,
    top5_drop=0.0,
    agreement=1.0,
    bytes_mean=100.0,
    bytes_p95=120.0,
)
WHOLE = Option(
    id=OptionId(0),
    point=PointName("output"),
    codec="none",
    rate="none",
    coder="none",
    shape=(1, 1, 1),
    device_graph="a/whole.onnx",
    cluster_graph=None,
    tables=None,
    gains=None,
    quality=None,
    macs=Macs(1, 0, 0, 0),
    measured=MEASURED,
)
FILES = {"labels.txt": b"cat\ndog\n", "a/whole.onnx": b"graph"}


class FakeCluster:
    """The fetch seam: what is where, and what was asked for."""

    def __init__(self) -> None:
        entries = tuple(
            FileEntry(name, hashlib.sha256(data).hexdigest(), len(data), "both") for name, data in FILES.items()
        )
        manifest = Manifest(
            schema=MANIFEST_SCHEMA,
            backbone="tiny",
            created_by="tests",
            input=Input(8, 8, 8),
            labels="labels.txt",
            baseline_top1=0.5,
            options=(WHOLE,),
            files=(*entries, FileEntry("tail.onnx", "0" * 64, 5, "cluster")),
        )
        data = dump_manifest(manifest)
        self.digest = digest_of(data)
        base = f"/v1/bundle/{self.digest}"
        self.pages = {f"{base}/manifest.json": data}
        self.pages |= {f"{base}/files/{name}": content for name, content in FILES.items()}
        self.pages["/v1/version"] = f'{{"isthmus":"1","protocol":1,"bundle":"{self.digest}"}}'.encode()
        self.pages["/v1/load"] = b'{"points":[]}'
        self.asked: list[str] = []

    def __call__(self, path: str, most_bytes: int) -> bytes:
        self.asked.append(path)
        if path not in self.pages:
            raise ClusterUnreachable(path)
        assert len(self.pages[path]) <= most_bytes
        return self.pages[path]

    def spoil(self, ending: str, data: bytes) -> None:
        [path] = [path for path in self.pages if path.endswith(ending)]
        self.pages[path] = data


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def hear_nothing(_done: int, _total: int) -> None:
    pass


def test_a_fetched_bundle_is_there_whole_and_opens_again(cluster: FakeCluster, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    cache = BundleCache(tmp_path)
    bundle = cache.fetch(cluster.digest, cluster, lambda done, total: heard.append((done, total)))
    assert bundle.labels() == ("cat", "dog")
    again = cache.open(cluster.digest)
    assert again is not None
    assert again.digest == cluster.digest
    assert heard == [(0, 13), (8, 13), (13, 13)]
    assert not any(path.endswith("tail.onnx") for path in cluster.asked)


@pytest.mark.parametrize(("ending", "data"), [("whole.onnx", b"grapg"), ("labels.txt", b""), ("manifest.json", b"{}")])
def test_what_was_changed_on_the_way_never_enters_the_cache(
    cluster: FakeCluster, tmp_path: Path, ending: str, data: bytes
) -> None:
    cluster.spoil(ending, data)
    cache = BundleCache(tmp_path)
    with pytest.raises(BundleError):
        cache.fetch(cluster.digest, cluster, hear_nothing)
    assert cache.open(cluster.digest) is None
    assert list((tmp_path / "bundles").iterdir()) == []


def test_two_agents_may_fetch_the_same_bundle_at_once(cluster: FakeCluster, tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)

    def fetch_while_another_does(path: str, most_bytes: int) -> bytes:
        if path.endswith("labels.txt"):
            cache.fetch(cluster.digest, cluster, hear_nothing)
        return cluster(path, most_bytes)

    assert cache.fetch(cluster.digest, fetch_while_another_does, hear_nothing).digest == cluster.digest


def test_a_cache_that_cannot_be_written_says_which_option_mends_it(cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError) as caught:
        BundleCache(tmp_path / "file").fetch(cluster.digest, cluster, hear_nothing)
    assert "--cache" in caught.value.mend


def test_a_cluster_is_remembered_by_its_address(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)
    assert cache.remembered(SERVER) is None
    cache.remember(SERVER, BundleDigest("a" * 64))
    assert cache.remembered(SERVER) == "a" * 64
    assert cache.remembered(ServerAddress("other", 8765)) is None
    next((tmp_path / "servers").iterdir()).write_text("../../etc")
    assert cache.remembered(SERVER) is None


def test_without_its_cluster_the_last_bundle_is_used_and_without_that_there_is_an_error(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    events: list[str] = []
    finder = BundleFinder(SERVER, BundleCache(tmp_path), cluster, lambda name, _: events.append(name))
    pages = dict(cluster.pages)
    cluster.pages.clear()
    with pytest.raises(ClusterUnreachable, match="no bundle of this cluster is cached"):
        finder.first(hear_nothing)
    cluster.pages.update(pages)
    assert finder.first(hear_nothing).reached
    cluster.pages.clear()
    found = finder.first(hear_nothing)
    assert not found.reached
    assert found.bundle.digest == cluster.digest
    assert events == ["bundle.fetched", "cluster.unreachable"]


def test_a_profile_is_kept_by_bundle_and_threads(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path)
    digest = BundleDigest("b" * 64)
    store.save(digest, 1, {OptionId(0): 0.25})
    assert store.load(digest, 1) == {0: 0.25}
    assert store.load(digest, 2) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"option_s": {"0": "x"}}', '{"option_s": {"0": -1}}', '{"option_s": {"0": NaN}}']
)
def test_a_profile_that_makes_no_sense_is_measured_again(tmp_path: Path, text: str) -> None:
    store = ProfileStore(tmp_path)
    digest = BundleDigest("b" * 64)
    store.save(digest, 1, {})
    next((tmp_path / "profiles").iterdir()).write_text(text)
    assert store.load(digest, 1) is None
