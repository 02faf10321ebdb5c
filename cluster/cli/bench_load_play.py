"""The stages of ``isthmus bench load``: this machine profiled, our cluster and its experiments, then the rival's.

Imported when the benchmark runs, since it imports the load tests.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from cluster.cli.benchmark_cluster import START_TIMEOUT_S
from cluster.free_ports import free_ports
from loadtests.adapt_outcome import Loads
from loadtests.child import Child
from loadtests.light_clip import LightClip
from loadtests.light_device import LightDevice
from loadtests.load_experiments import Experiments, LoadPlan, Say
from loadtests.load_outcome import LoadOutcome
from loadtests.load_scene import Entrant, EntrantName, LoadScene, Running, deepest_cut, entrants
from loadtests.steady_profile import keep_steady_profile
from wire.bundle import Bundle
from wire.errors import SettingError

NICE: Final = ("nice", "-n", "5")
"""Before the command of every system: a device has a processor of its own, so the generator's timers go first."""
NOWHERE: Final = Running(("127.0.0.1", 9), None)
"""A device that answers alone asks nobody."""


def play_loads(
    scene: LoadScene, plan: LoadPlan, *, chosen: frozenset[str], config: Path | None, say: Say
) -> LoadOutcome:
    """Play the experiments that were chosen, all in one run; capacity is searched where another needs it.

    Raises:
        ClusterUnreachable: a system or a generator did not start, or ended early.
        SettingError: a device that nobody knows.
    """
    load_before = os.getloadavg()[0]
    bundle = Bundle.open(scene.bundle, "device")
    say("profiling this machine")
    keep_steady_profile(bundle, scene.cache, on_round=lambda _: None)
    say("preparing bitstreams")
    LightClip.kept(bundle, scene.clip, scene.cache / "light-clip.msgpack")
    devices = [LightDevice.of(bundle, scene.cache, name) for name in scene.devices]
    slowest = max(devices, key=lambda device: device.slowdown)
    cut = deepest_cut(bundle.manifest.options, slowest.option_s, fps=scene.fps, most_drop=scene.most_drop)
    every = entrants(f"{cut.point}/{cut.rate}")
    outcome = LoadOutcome(
        scene=scene,
        device=", ".join(f"{device.name} (emulated, ×{device.slowdown:.1f})" for device in devices),
        cut=f"{cut.point}/{cut.rate}",
    )
    _device_alone(outcome, plan, every, chosen, say)
    with ExitStack() as stack:
        say("starting our cluster")
        running = stack.enter_context(our_cluster(scene, config))
        _ours(Experiments(outcome=outcome, plan=plan, running=running, say=say), every, chosen)
    with ExitStack() as stack:
        say("starting the tutorial's application")
        running = stack.enter_context(tutorial(scene, bundle))
        _theirs(Experiments(outcome=outcome, plan=plan, running=running, say=say), [every["tutorial"]], chosen)
    outcome.machine = Loads(load_before, os.getloadavg()[0], os.cpu_count() or 1)
    return outcome


def _device_alone(
    outcome: LoadOutcome, plan: LoadPlan, every: dict[EntrantName, Entrant], chosen: frozenset[str], say: Say
) -> None:
    if chosen & {"capacity", "overload"}:
        Experiments(outcome=outcome, plan=plan, running=NOWHERE, say=say).find_capacities([every["device"]])


def _ours(experiments: Experiments, every: dict[EntrantName, Entrant], chosen: frozenset[str]) -> None:
    three = [every["jpeg"], every["cut"], every["ours"]]
    if chosen & {"capacity", "overload"}:
        experiments.find_capacities(three)
    elif "saving" in chosen:
        experiments.find_capacities(three[:1])
    if "saving" in chosen:
        experiments.save(three[1:], three[0])
    if "background" in chosen:
        experiments.fill_link(three)
    if "overload" in chosen:
        experiments.overload(three)
    if "spike" in chosen:
        experiments.spike([every["ours"], every["jpeg"]])


def _theirs(experiments: Experiments, only: list[Entrant], chosen: frozenset[str]) -> None:
    if chosen & {"capacity", "overload"}:
        experiments.find_capacities(only)
    if "background" in chosen:
        experiments.fill_link(only)
    if "overload" in chosen:
        experiments.overload(only)
    if "spike" in chosen:
        experiments.spike(only)


@contextmanager
def our_cluster(scene: LoadScene, config: Path | None) -> Iterator[Running]:
    """Start our cluster as a user does, and stop it at the end; ``config`` is one that ``isthmus up`` reads.

    Raises:
        ClusterUnreachable: it did not start.
    """
    port = free_ports(1)[0]
    more = ["--config", str(config)] if config is not None else []
    command = [
        *NICE, sys.executable, "-m", "cluster.cli.main", "up", str(scene.bundle), "--port", str(port), "--json", *more,
    ]  # fmt: skip
    with Child(command, log=scene.out / "cluster.log") as cluster:
        cluster.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
        yield Running(("127.0.0.1", port), cluster.process.pid)


@contextmanager
def tutorial(scene: LoadScene, bundle: Bundle) -> Iterator[Running]:
    """Start the tutorial's application on the whole network, and stop it at the end.

    Raises:
        ClusterUnreachable: it did not start.
        SettingError: the bundle has no option that sends pictures.
    """
    graphs = [o.cluster_graph for o in bundle.manifest.options if o.device_graph is None and o.cluster_graph]
    if not graphs:
        raise SettingError("the bundle takes no pictures", mend="build it with its default options")
    port = free_ports(1)[0]
    command = [
        *NICE, sys.executable, "-m", "serve_apps.tutorial_rival", "--port", str(port), "--graph",
        str(scene.bundle / graphs[0]),
    ]  # fmt: skip
    with Child(command, log=scene.out / "tutorial.log") as rival:
        rival.wait_for("tutorial.ready", timeout_s=START_TIMEOUT_S)
        yield Running(("127.0.0.1", port), rival.process.pid)
