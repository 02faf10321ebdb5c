"""The best single cut: Neurosurgeon's and BottleNet's choices, by trying every option.

Owns what an option costs over a link. Does no I/O.
"""

from dataclasses import dataclass

from cluster.planning.tables import CutOption, CutTable, Link, Objective
from wire.errors import SettingError


@dataclass(frozen=True, slots=True)
class Costs:
    """What one frame costs with one option; ``energy_j`` is the device's, of computation and radio."""

    latency_s: float
    energy_j: float
    cluster_s: float

    def least_first(self, objective: Objective) -> tuple[float, float]:
        """Give the objective's cost, and then the other, by which equals are told apart."""
        return (self.latency_s, self.energy_j) if objective == "latency" else (self.energy_j, self.latency_s)


@dataclass(frozen=True, slots=True)
class Choice:
    """An option and what it costs."""

    option: CutOption
    costs: Costs


def costs(option: CutOption, link: Link, *, k_mobile: float = 1.0, k_cloud: float = 1.0) -> Costs:
    """Add up what an option costs: device, upload and cluster, one after the other.

    The load factors are BottleNet's: ``k_mobile`` multiplies the device's seconds and, its power being the same, its
    joules; ``k_cloud`` multiplies the cluster's seconds. The answer's way back is taken to be free.

    Raises:
        SettingError: a load factor is below 0.
    """
    if not (k_mobile >= 0 and k_cloud >= 0):
        raise SettingError(f"load factors {k_mobile} and {k_cloud} make no sense", mend="give numbers of 0 or more")
    cluster_s = k_cloud * option.cluster_s
    return Costs(
        latency_s=k_mobile * option.device_s + link.upload_s(option.bytes) + cluster_s,
        energy_j=k_mobile * option.device_energy_j + link.upload_j(option.bytes),
        cluster_s=cluster_s,
    )


def neurosurgeon(table: CutTable, link: Link, *, objective: Objective, k_cloud: float = 1.0) -> Choice:
    """Choose as Neurosurgeon does (Kang et al., ASPLOS 2017, algorithm 1).

    The least of device, upload and cluster seconds, or of the device's and the radio's joules; ``k_cloud`` stands for
    its datacenter load level. Neurosurgeon sends features as they are, so its table has one option a point. Where it
    predicts times by regression from layer shapes, the table has measured ones.
    """
    return _least(table, link, objective=objective, k_mobile=1.0, k_cloud=k_cloud)


def bottlenet(
    table: CutTable, link: Link, *, objective: Objective, k_mobile: float = 1.0, k_cloud: float = 1.0
) -> Choice:
    """Choose as BottleNet does (Eshratifar, Esmaili and Pedram, ISLPED 2019, algorithm 1, its selection phase).

    The least over the options, which here are cuts with a trained bottleneck, under the loads of both sides.
    That the options lose little enough is settled before, in training: ``drop`` is not looked at.
    """
    return _least(table, link, objective=objective, k_mobile=k_mobile, k_cloud=k_cloud)


def _least(table: CutTable, link: Link, *, objective: Objective, k_mobile: float, k_cloud: float) -> Choice:
    choices = (Choice(each, costs(each, link, k_mobile=k_mobile, k_cloud=k_cloud)) for each in table.options)
    return min(choices, key=lambda choice: choice.costs.least_first(objective))
