"""A Triton without Triton, for the tests of who uses it and who brings it back; no tests here."""

import asyncio

import numpy as np

from cluster.triton.repository import ModelSpec
from serve_apps.triton_models import ModelUser
from wire.errors import TailFailed, TritonUnavailable
from wire.tensor_form import TensorForm


def spec(name="model"):
    return ModelSpec(name=name, graph=None, form=TensorForm.symbols((1, 1, 1)), classes=3, max_batch=4)


def user(number):
    """A user that lives in this process, so it is alive."""
    return ModelUser.here(f"replica-{number}")


def dead(number):
    """A user of a process id that was given again."""
    return ModelUser(f"dead-{number}", process_id=1, started_s=1.0)


class FakeTriton:
    """Notes what it is asked to load and unload; loading takes a few turns of the loop; ``left`` is there already."""

    def __init__(self, address="first", left=()):
        self.address = address
        self.left = left
        self.asked = []
        self.fails = set()
        self.hangs = set()
        self.closed = False

    async def load(self, name):
        self.asked.append(("load", name))
        for _ in range(5):
            await asyncio.sleep(0)
        if name in self.fails:
            raise TailFailed(f"Triton cannot load {name}")
        if name in self.hangs:
            await asyncio.Event().wait()

    async def unload(self, name):
        self.asked.append(("unload", name))

    async def loaded(self):
        return list(self.left)

    async def infer(self, of, batch):
        return np.full((len(batch), of.classes), 0.5, np.float32)

    async def close(self):
        self.closed = True


class FakeServer:
    """A Triton process: each start has another address; ``refusals`` is how many starts fail first."""

    def __init__(self, folder):
        self.repository = folder
        self.starts = 0
        self.refusals = 0
        self.alive = False
        self.silent = False
        self.kills = 0

    @property
    def address(self):
        return f"triton-{self.starts}"

    def start(self):
        if self.refusals:
            self.refusals -= 1
            raise TritonUnavailable("no room")
        self.starts += 1
        self.alive, self.silent = True, False

    def kill(self):
        self.kills += 1
        self.alive = False

    def stop(self):
        self.alive = False

    def responds(self, *, timeout_s):
        return self.alive and not self.silent
