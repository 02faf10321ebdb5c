import asyncio

import pytest

from serve_apps import bundle_update
from serve_apps.bundle_update import BundleUpdate
from wire.errors import BundleError, Overloaded, SettingError, TailFailed


class Cluster:
    """Notes what is deployed; how far it is is what a test says."""

    def __init__(self):
        self.deployed = []
        self.behind = (0, 0, ())
        self.fails_with = None

    async def deploy(self, folders):
        self.deployed.append(list(folders))
        if self.fails_with is not None and len(self.deployed) == 1:
            raise self.fails_with

    def look(self, _digest):
        return self.behind


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def update(cluster, monkeypatch):
    monkeypatch.setattr(bundle_update, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(bundle_update, "QUIET_S", 0.02)
    return BundleUpdate(cluster.deploy, cluster.look)


@pytest.fixture
def folders(bundle, make_bundle):
    """The folders of a new bundle and of the one that is served."""
    return str(make_bundle(created_by="new").directory), str(bundle.directory)


async def state(update, *wanted):
    async with asyncio.timeout(20):
        while update.status.state not in wanted:  # noqa: ASYNC110 - what is waited for is a state of the code under test
            await asyncio.sleep(0.001)


async def test_both_bundles_are_served_until_nobody_uses_the_old_one_and_then_the_new_one_alone(
    update, cluster, folders
):
    new, old = folders
    cluster.behind = (1, 5, ())
    await update.begin(new, [old], within_s=60.0)
    await state(update, "loading")
    await asyncio.sleep(0.02)
    assert (update.status.state, update.status.replicas_left) == ("loading", 1)
    cluster.behind = (0, 5, ())
    await state(update, "moving")
    await asyncio.sleep(0.05)
    assert (update.status.state, update.status.streams_left) == ("moving", 5)
    assert cluster.deployed == [[new, old]]
    cluster.behind = (0, 0, ())
    await state(update, "done")
    assert cluster.deployed == [[new, old], [new]]


async def test_the_old_bundle_is_dropped_after_the_time_given_whoever_uses_it_still(update, cluster, folders):
    cluster.behind = (0, 1, ())
    await update.begin(folders[0], [folders[1]], within_s=0.05)
    await state(update, "done")
    assert cluster.deployed[-1] == [folders[0]]


@pytest.mark.parametrize("fault", ["a replica", "the deployment"])
async def test_what_cannot_be_served_anywhere_is_taken_back_and_said(update, cluster, folders, fault):
    new, old = folders
    if fault == "a replica":
        cluster.behind = (1, 0, ("no such file",))
    else:
        cluster.fails_with = TailFailed("no such file")
    await update.begin(new, [old], within_s=60.0)
    await state(update, "failed")
    assert update.status.error == "no such file"
    await asyncio.sleep(0.01)
    assert cluster.deployed == [[new, old], [old]]


async def test_a_second_update_has_to_wait_for_the_first(update, cluster, folders):
    cluster.behind = (0, 1, ())
    await update.begin(folders[0], [folders[1]], within_s=60.0)
    with pytest.raises(Overloaded, match="another update"):
        await update.begin(folders[0], [folders[1]], within_s=60.0)
    cluster.behind = (0, 0, ())
    await state(update, "done")
    await update.begin(folders[1], [folders[0]], within_s=60.0)
    await state(update, "done")
    assert cluster.deployed[-1] == [folders[1]]


async def test_a_folder_that_is_no_whole_bundle_changes_nothing(update, cluster, folders, tmp_path):
    for folder, error in ((str(tmp_path), BundleError), ("bundles/new", SettingError)):
        with pytest.raises(error):
            await update.begin(folder, [folders[1]], within_s=1.0)
    assert cluster.deployed == []
    assert update.status.state == "idle"
