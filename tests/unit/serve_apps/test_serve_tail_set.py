import asyncio
from dataclasses import replace
from functools import partial

import pytest
from serve_fakes import FakeBackend, frame

from serve_apps import tail_set
from serve_apps.tail import Tail
from serve_apps.tail_set import TailSet
from wire.errors import BundleError, TailFailed, UnknownPoint, WrongBundle
from wire.messages import Hello, Result


class Users:
    """Streams by bundle."""

    def __init__(self):
        self.streams = {}

    def __call__(self, bundle):
        return self.streams.get(bundle, 0)


@pytest.fixture
def users():
    return Users()


@pytest.fixture
def loaded():
    """How many backends are loaded, by bundle."""
    return {}


@pytest.fixture
async def tails(users, loaded):
    def make_tail(bundle):
        class Counted(FakeBackend):
            async def load(self):
                loaded[bundle.digest] = loaded.get(bundle.digest, 0) + 1

            async def unload(self):
                loaded[bundle.digest] -= 1

        return Tail(bundle, "mid", lambda *_: Counted(), replica_id="r")

    async with TailSet("mid", make_tail, users=users) as opened:
        yield opened


def hello(bundle):
    return Hello("device", "test", bundle.digest)


@pytest.fixture
def new(make_bundle):
    return make_bundle(created_by="new")


async def test_before_a_bundle_is_told_of_nothing_is_served(tails):
    with pytest.raises(TailFailed, match="starting"):
        tails.load()


async def test_each_device_is_served_by_its_own_bundle_and_told_of_the_newest(tails, bundle, new):
    await tails.use([str(new.directory), str(bundle.directory)])
    assert tails.bundles == (new.digest, bundle.digest)
    for each in (new, bundle):
        assert tails.serving(hello(each)).bundle.digest == each.digest
        assert tails.welcome(hello(each)).bundle == new.digest


async def test_a_device_of_a_bundle_that_is_not_served_is_told_so(tails, bundle, new):
    await tails.use([str(bundle.directory)])
    for ask in (tails.serving, tails.welcome):
        with pytest.raises(WrongBundle, match=bundle.digest[:12]):
            ask(hello(new))


async def test_the_old_bundle_answers_while_the_new_one_is_opened_and_until_its_last_stream_ends(
    tails, bundle, new, users, loaded, bitstream, monkeypatch
):
    monkeypatch.setattr(tail_set, "LINGER_LOOK_S", 0.01)
    await tails.use([str(bundle.directory)])
    old = tails.serving(hello(bundle))
    users.streams[bundle.digest] = 1
    await tails.use([str(new.directory), str(bundle.directory)])
    await tails.use([str(new.directory)])
    assert isinstance(await old.answer(frame(bitstream, option_id=4)), Result)
    assert loaded[bundle.digest] > 0
    users.streams.clear()
    await until_slowly(lambda: loaded[bundle.digest] == 0)
    assert loaded[new.digest] > 0
    with pytest.raises(WrongBundle):
        tails.serving(hello(bundle))


async def test_a_bundle_that_comes_back_before_it_was_let_go_is_kept(tails, bundle, new, users, loaded, monkeypatch):
    monkeypatch.setattr(tail_set, "LINGER_LOOK_S", 0.01)
    users.streams[bundle.digest] = 1
    await tails.use([str(bundle.directory)])
    await tails.use([str(new.directory)])
    await tails.use([str(bundle.directory)])
    users.streams.clear()
    await until_slowly(lambda: loaded[new.digest] == 0)
    assert loaded[bundle.digest] > 0
    assert tails.serving(hello(bundle)).bundle.digest == bundle.digest


async def test_a_bundle_that_is_not_whole_changes_nothing(tails, bundle, new):
    await tails.use([str(bundle.directory)])
    (new.directory / "four.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError):
        await tails.use([str(new.directory), str(bundle.directory)])
    assert tails.bundles == (bundle.digest,)
    assert tails.current.bundle.digest == bundle.digest


async def test_a_point_that_only_one_of_the_bundles_has_is_served_of_that(tails, bundle, make_bundle):
    others = tuple(option for option in bundle.manifest.options if option.point != "mid")
    without = make_bundle(created_by="without", options=others)
    await tails.use([str(without.directory), str(bundle.directory)])
    assert tails.bundles == (bundle.digest,)
    with pytest.raises(UnknownPoint):
        await tails.use([str(without.directory)])


async def test_the_load_is_of_all_bundles_together(tails, bundle, new, monkeypatch):
    await tails.use([str(new.directory), str(bundle.directory)])
    busy = {new.digest: 0.7, bundle.digest: 0.6}
    for digest, tail in tails._tails.items():
        monkeypatch.setattr(tail, "load", partial(replace, tail.load(), utilisation=busy[digest], in_flight=2))
    load = tails.load()
    assert (load.utilisation, load.in_flight, load.replicas) == (1.0, 4, 1)


async def test_everything_is_given_back_at_the_end(bundle, new, users, loaded):
    def make_tail(opened):
        class Counted(FakeBackend):
            async def load(self):
                loaded[opened.digest] = loaded.get(opened.digest, 0) + 1

            async def unload(self):
                loaded[opened.digest] -= 1

        return Tail(opened, "mid", lambda *_: Counted(), replica_id="r")

    async with TailSet("mid", make_tail, users=users) as opened:
        await opened.use([str(new.directory), str(bundle.directory)])
        assert all(count > 0 for count in loaded.values())
    assert loaded == {new.digest: 0, bundle.digest: 0}


async def until_slowly(condition):
    """Let time pass, a little."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is a state of the code under test
            await asyncio.sleep(0.01)
