"""The process that fuzzes one target: ``python -m loadtests.fuzz_process``; ``loadtests.fuzz_child`` starts it.

With atheris it watches which code an input reaches, and keeps those that reach more; without it, it changes the corpus
blindly, the same for the same seed. Imports the target only when the watch is set up.
"""

import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import click

from loadtests.fuzz_black_box import BlackBox
from loadtests.fuzz_record import FINDINGS_NAME, Record, keep_finding

if TYPE_CHECKING:
    from loadtests.fuzz_mutation import Mutator

MEMORY_BYTES: Final = 4 * 2**30
"""A process may not take more; what asks for it gets a MemoryError, which is a finding."""
SAMPLES: Final = 200
MOST_FINDINGS: Final = 10
"""After so many of one process the rest would be more of the same."""
BLACK_BOX: Final = "black-box"
FOUND: Final = "found"
WATCHED: Final = ("wire", "serve_apps")


class Session:
    """Runs inputs, and keeps what they did; ``stop`` ends the process with its record."""

    def __init__(self, name: str, run: Callable[[bytes], str], folder: Path, *, inputs: int, until_s: float) -> None:
        self._name, self._run, self._folder, self._inputs, self._until_s = name, run, folder, inputs, until_s
        self._box = BlackBox(folder / BLACK_BOX)
        self._seen: set[str] = set()
        self._began_s = time.monotonic()
        self._every = max(1, inputs // SAMPLES)
        self.record = Record()

    @property
    def done(self) -> bool:
        """Whether it is enough."""
        return self.record.inputs >= self._inputs or time.monotonic() > self._until_s

    def one(self, data: bytes) -> None:
        """Run one input, and note what becomes of it."""
        record = self.record
        record.inputs += 1
        began = self._box.begin(record.inputs, data)
        try:
            outcome = self._run(data)
        except Exception as error:  # noqa: BLE001 - every error that is not the target's own outcome is what we look for
            self._found(error, data)
            outcome = "finding"
        record.slowest_s = max(record.slowest_s, time.monotonic() - began)
        self._box.end(record.inputs)
        record.outcomes[outcome] += 1
        if record.inputs % self._every == 0:
            record.rss_bytes.append(_rss_bytes())

    def stop(self) -> None:
        """Write the record, and end the process without more ado: atheris would never come back."""
        self.record.seconds = time.monotonic() - self._began_s
        self.record.save(self._folder)
        sys.stdout.flush()
        os._exit(0)

    def _found(self, error: Exception, data: bytes) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} {frame.filename}:{frame.lineno}"
        if where in self._seen or len(self._seen) >= MOST_FINDINGS:
            return
        self._seen.add(where)
        says = "".join(traceback.format_exception(error))
        keep_finding(self._folder / FINDINGS_NAME, self._name, "exception", says, data)


@click.command()
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Takes corpus, record and findings.")
@click.option("--corpus", type=click.Path(path_type=Path), required=True, help="Folder of inputs to begin with.")
@click.option("--inputs", type=int, required=True)
@click.option("--seconds", type=float, required=True)
@click.option("--seed", type=int, required=True)
@click.option("--most-bytes", type=int, required=True)
@click.option("--guided/--blind", required=True)
def main(
    *, name: str, folder: Path, corpus: Path, inputs: int, seconds: float, seed: int, most_bytes: int, guided: bool
) -> None:
    """Fuzz the target NAME."""
    if guided:
        import atheris  # type: ignore[import-untyped]  # it ships no stubs

        with atheris.instrument_imports(include=list(WATCHED)):
            _fuzz(name, folder, corpus, inputs, seconds, seed, most_bytes, guided=True)
    else:
        _fuzz(name, folder, corpus, inputs, seconds, seed, most_bytes, guided=False)


def _fuzz(
    name: str, folder: Path, corpus: Path, inputs: int, seconds: float, seed: int, most_bytes: int, *, guided: bool
) -> None:
    from loadtests.fuzz_mutation import Mutator
    from loadtests.fuzz_target import plans

    (plan,) = plans((name,))
    target = plan.made(folder / "target")
    if not plan.sanitized:  # whose shadow memory is as large as the address space
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    begin = [*target.seeds, *(path.read_bytes() for path in sorted(corpus.glob("*")))]
    session = Session(name, target.run, folder, inputs=inputs, until_s=time.monotonic() + seconds)
    session.record.guided = guided
    random = Random(seed)
    mutator = Mutator(random, target.tree, most_bytes)
    if guided:
        _guided(session, mutator, begin, folder / FOUND, random, most_bytes)
    else:
        _blind(session, mutator, begin, random)
    session.stop()


def _blind(session: Session, mutator: "Mutator", corpus: list[bytes], random: Random) -> None:
    """Run the corpus as it is, then changed at random."""
    for data in corpus:
        session.one(data)
    while not session.done:
        session.one(mutator.mutated(random.choice(corpus), random.choice(corpus)))


def _guided(
    session: Session, mutator: "Mutator", corpus: list[bytes], found: Path, random: Random, most_bytes: int
) -> None:
    """Have libFuzzer choose what to change, by the code that inputs reach; half of the changes are ours."""
    import atheris

    begin = found.with_name("begin")
    for folder in (found, begin):
        folder.mkdir(exist_ok=True)
    for number, data in enumerate(corpus):
        (begin / f"{number:04}").write_bytes(data)

    def one(data: bytes) -> None:
        session.one(data)
        if session.done:
            session.stop()

    def mutate(data: bytes, most: int, _seed: int) -> bytes:
        if random.random() < 0.5:
            return mutator.mutated(bytes(data), random.choice(corpus))[:most]
        mutated: bytes = atheris.Mutate(data, most)
        return mutated

    words = [
        "fuzz", str(found), str(begin), f"-seed={random.randrange(1, 2**31)}", f"-max_len={most_bytes}",
        "-rss_limit_mb=0", "-timeout=3600", "-print_final_stats=0", "-verbosity=0", f"-artifact_prefix={found}-",
    ]  # fmt: skip
    atheris.Setup(words, one, custom_mutator=mutate)
    atheris.Fuzz()


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
