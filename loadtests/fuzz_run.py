"""A whole run of the fuzzer: every target by its share, first guided by coverage, then blindly from what was found.

Guided, a process keeps what reached new code; blindly, a fresh process changes all of that, and its memory is the one
that is judged, since what guides takes memory of its own. Owns the order of processes and what is summed up of them.
"""

import math
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from loadtests.fuzz_child import Orders, Outcome, fuzzed
from loadtests.fuzz_process import FOUND
from loadtests.fuzz_record import Finding, Record
from loadtests.fuzz_sanitizer import sanitized
from loadtests.fuzz_target import MAX_INPUT_BYTES, TargetPlan

GUIDED_SHARE: Final = 0.5
"""Of a target's inputs; the others are blind."""
OnInputs = Callable[[str, int], None]
"""Hears of a target's inputs so far."""


@dataclass(frozen=True, slots=True)
class TargetReport:
    """What came of one target."""

    name: str
    says: str
    guided: Record
    blind: Record
    corpus: int
    """Inputs that reached something that none before had reached."""
    findings: tuple[Finding, ...]
    sanitized: bool

    @property
    def inputs(self) -> int:
        """How many were tried."""
        return self.guided.inputs + self.blind.inputs

    @property
    def seconds(self) -> float:
        """How long that took."""
        return self.guided.seconds + self.blind.seconds

    @property
    def growth(self) -> float | None:
        """By what share of its memory the blind process grew; what checks memory takes more and more of its own."""
        return None if self.sanitized else self.blind.growth

    @property
    def accepted(self) -> float:
        """The share of inputs that was not refused."""
        return (self.guided.outcomes["accepted"] + self.blind.outcomes["accepted"]) / max(1, self.inputs)


@dataclass(frozen=True, slots=True)
class FuzzRun:
    """What a run is to do."""

    plans: tuple[TargetPlan, ...]
    inputs: int
    seconds: float
    """At most, for each process of a target."""
    seed: int
    corpus: Path
    out: Path

    def run(self, on_inputs: OnInputs) -> list[TargetReport]:
        """Fuzz all targets, as many at once as there are processors; give their reports in the order of the plans.

        Raises:
            SettingError: the C loops cannot be compiled for the targets that check them.
        """
        environment = sanitized(self.out / "sanitized") if any(plan.sanitized for plan in self.plans) else {}
        # The longest first, so that no processor waits for the last one alone.
        stop = threading.Event()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                found = [pool.submit(self._one, plan, environment, on_inputs, stop) for plan in self.plans]
                return [each.result() for each in found]
            except BaseException:
                stop.set()
                raise

    def shares(self) -> dict[str, int]:
        """Give how many inputs every target gets."""
        whole = sum(plan.share for plan in self.plans)
        return {plan.name: math.ceil(self.inputs * plan.share / whole) for plan in self.plans}

    def found(self, plan: TargetPlan) -> Path:
        """Give where the inputs lie that reached what none before had reached."""
        return self.out / plan.folder / "guided" / FOUND

    def _one(
        self, plan: TargetPlan, environment: dict[str, str], on_inputs: OnInputs, stop: threading.Event
    ) -> TargetReport:
        inputs = self.shares()[plan.name]
        guide = not plan.sanitized and find_spec("atheris") is not None
        begin, guided = self.corpus / plan.corpus, Outcome(Record(), [])
        if guide:
            orders = self._orders(plan, begin, round(inputs * GUIDED_SHARE), guided=True)
            guided = fuzzed(orders, lambda count: on_inputs(plan.name, count), stop)
            begin = _joined(self.out / plan.folder / "corpus", (begin, self.found(plan)))
        orders = self._orders(plan, begin, inputs - guided.record.inputs, guided=False, environment=environment)
        blind = fuzzed(orders, lambda count: on_inputs(plan.name, guided.record.inputs + count), stop)
        found = len(list(self.found(plan).glob("*")))
        findings = (*guided.findings, *blind.findings)
        return TargetReport(plan.name, plan.says, guided.record, blind.record, found, findings, plan.sanitized)

    def _orders(
        self, plan: TargetPlan, corpus: Path, inputs: int, *, guided: bool, environment: dict[str, str] | None = None
    ) -> Orders:
        return Orders(
            target=plan.name,
            folder=self.out / plan.folder / ("guided" if guided else "blind"),
            corpus=corpus,
            inputs=inputs,
            seconds=self.seconds,
            seed=self.seed,
            most_bytes=MAX_INPUT_BYTES,
            guided=guided,
            environment={**plan.environment, **((environment or {}) if plan.sanitized else {})},
        )


def _joined(folder: Path, parts: Sequence[Path]) -> Path:
    """Copy the inputs of several folders into one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in parts:
        for path in part.glob("*"):
            shutil.copyfile(path, folder / path.name)
    return folder
