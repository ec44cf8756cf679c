"""What shares the host's memory between VMs: one file a service, plugged in where the host
runs short and where simulated time ticks. No service knows another, or the techniques."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmulab.mmu.host.system import System
    from mmulab.mmu.services.balloon import Policy


def plug_in(system: System, balloon_policy: Policy | None = None) -> None:
    """Makes the services that the system's scenario asks for. balloon_policy: in place of
    the balloon's own."""
    from mmulab.mmu.services.balloon import Balloon
    from mmulab.mmu.services.ksm import KSM
    from mmulab.mmu.services.reporting import Reporting

    scenario = system.scenario
    if scenario.balloon:
        balloon = Balloon(scenario.balloon, system)
        balloon.policy = balloon_policy or balloon.policy
        system.services.append(balloon)
    if scenario.ksm:
        system.services.append(KSM(scenario.ksm, system))
    if scenario.reporting:
        system.services.append(Reporting(scenario.reporting))
