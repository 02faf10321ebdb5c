"""Targets with a fault each, for the tests of the watch."""

import ctypes

import numpy as np

from loadtests.fuzz_target import ACCEPTED, Target

KEPT_BYTES = 200_000


def _target(run):
    return Target(run=run, seeds=(b"seed",))


def raises(_folder):
    def run(data):
        if b"!" in data:
            raise KeyError("planted")
        return ACCEPTED

    return Target(run=run, seeds=(b"seed", b"seed!"))


def crashes(_folder):
    def run(data):
        if b"!" in data:
            ctypes.string_at(0)
        return ACCEPTED

    return Target(run=run, seeds=(b"seed", b"see", b"se", b"s", b"!"))


def hangs(_folder):
    def run(_data):
        while True:
            pass

    return _target(run)


def takes_too_much(_folder):
    return _target(lambda _data: str(np.ones(2**33, np.uint8).sum()))


def keeps(_folder):
    kept = []

    def run(data):
        kept.append(b"x" * KEPT_BYTES + data)
        return ACCEPTED

    return _target(run)


def does_nothing(_folder):
    return _target(lambda _data: ACCEPTED)
