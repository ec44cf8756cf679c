"""Runs the VMs under a student's policy, in the sandbox, and says what it was worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmulab.coursework import sandbox
from mmulab.coursework.assignment import Problem
from mmulab.coursework.assignments.balloon_policy import workload
from mmulab.coursework.sandbox.process import clean
from mmulab.mmu.errors import RunError

if TYPE_CHECKING:
    from mmulab.mmu.scenario.results import RunResult
    from mmulab.mmu.services.policies.asked import HostMemory, VMs
    from mmulab.mmu.services.policies.files import Targets

FILE = "policy.py"
LIMITS = sandbox.Limits(cpu=10, wall=60, call=2, memory=1 << 29)

#: Simulated seconds after which a run is ended: without balloons it takes some 8.
TOO_LONG = 25

#: What a policy is told of a VM.
TOLD = ("name", "memory", "held", "balloon", "active", "guest_swap_ins", "host_swap_ins")

#: Slowdowns where there is room: up to the first is nothing, from the second on all is lost.
HARMLESS, HARMFUL = 1.10, 1.30

#: Pages read back by the host, as a part of those without balloons, that still have all marks.
RARELY = 0.10

#: Parts of the way from no balloons to the worked solution: up to the first it can be chance
#: (which pages are victims is random; students' seeds differ by a tenth), from the second on it
#: has all marks.
CHANCE, ENOUGH = 0.25, 0.80

Found = tuple[float, str]  # part of the marks, feedback


class Unusable(Exception):
    """The policy can be asked no more, or gave an answer that is none."""


class Policy:
    """A student's function as a policy of `mmu.services.policies`."""

    def __init__(self, conversation: sandbox.Conversation, block: int) -> None:
        self._conversation = conversation
        self._block = block
        self.calls = 0

    def targets(self, vms: VMs, host: HostMemory) -> list[int]:
        return self.ask(vms.rows(*TOLD), host.free, host.total)

    def ask(self, vms: Sequence[dict[str, Any]], free: int, total: int) -> list[int]:
        """Raises Unusable."""
        self.calls += 1
        if self.calls * workload.PERIOD > TOO_LONG:
            raise Unusable(f"the programs had not ended after {TOO_LONG} s")
        try:
            answer = self._conversation.ask(list(vms), int(free), int(total))
        except sandbox.Stopped as stopped:
            raise Unusable(f"call {self.calls}: {stopped.verdict.message}") from None
        problem = _problem(answer, vms, self._block)
        if problem:
            raise Unusable(f"call {self.calls}: {problem}")
        return list(answer)


def _problem(answer: Any, vms: Sequence[dict[str, Any]], block: int) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if not isinstance(answer, list):
        return f"targets() returned {_shown(answer)}; expected a list"
    if len(answer) != len(vms):
        return f"targets() returned {len(answer)} numbers; expected one for each VM"
    for target, vm in zip(answer, vms, strict=True):
        if type(target) is not int:
            return f"the target of {vm['name']} is {_shown(target)}; expected a whole number"
        if not 0 <= target <= vm["memory"]:
            return f"the target of {vm['name']} is {target}; its memory is {vm['memory']} frames"
        if target % block:
            return f"the target of {vm['name']} is {target}; expected a multiple of {block}"
    return ""


def _shown(value: Any) -> str:
    return clean(repr(value)[:80])


def check(problem: Problem, source: str, reference: str | None) -> dict[str, Found]:
    """By part: (part of its marks, feedback). reference: the worked solution; without
    it nothing says how much can be gained, and `slowdown` has no marks."""
    known = _known(json.dumps(problem, sort_keys=True), reference)
    found = {"answers": _probed(source, problem["block"]), "room": _in_room(problem, source, known)}
    result = _run(problem, source, workload.HOST)
    if isinstance(result, str):
        return {**found, "host": (0.0, result), "slowdown": (0.0, result)}
    return {**found, "host": _host(result, known), "slowdown": _slowdown(result, known)}


# --- Runs -----------------------------------------------------------------------------


class NoBalloons:
    """The policy that takes nothing."""

    def targets(self, vms: VMs, host: HostMemory) -> list[int]:
        return [0] * len(vms)


class Known:
    """What a policy is compared with: the VMs alone, without balloons, under the reference."""

    def __init__(self, problem: Problem, reference: str | None) -> None:
        alone = workload.run(problem["phases"], problem["seed"], host=workload.AMPLE)
        self.busy = [vm.busy for vm in alone.vms]
        without = _simulate(problem, NoBalloons(), workload.HOST)
        self.host_reads = without.total("host_swap_ins")
        self.without = self.worst(without)
        self.reference: float | None = None
        if reference is not None:
            best = _run(problem, reference, workload.HOST)
            if isinstance(best, str):
                raise RunError(f"balloon-policy: the worked solution: {best}")
            self.reference = self.worst(best)

    def slowdowns(self, result: RunResult) -> list[float]:
        return [vm.busy / alone for vm, alone in zip(result.vms, self.busy, strict=True)]

    def worst(self, result: RunResult) -> float:
        return max(self.slowdowns(result))


@lru_cache(maxsize=4)
def _known(problem: str, reference: str | None) -> Known:
    return Known(json.loads(problem), reference)


def _simulate(problem: Problem, policy: Targets, host: int) -> RunResult:
    return workload.run(
        problem["phases"], problem["seed"], workload.settings("fixed"), policy, host
    )


def _run(problem: Problem, source: str, host: int) -> RunResult | str:
    """The run under a policy, or why there is none."""
    try:
        with sandbox.Conversation(source, "targets", LIMITS, name=FILE) as conversation:
            return _under(Policy(conversation, problem["block"]), problem, host)
    except sandbox.Stopped as stopped:
        return clean(stopped.verdict.message)
    except Unusable as unusable:
        return f"the run ended: {clean(unusable)}"


def _under(policy: Policy, problem: Problem, host: int) -> RunResult | str:
    try:
        result = _simulate(problem, policy, host)
    except RunError:  # of the simulator: nothing else is wrong with these VMs
        return f"the run ended after call {policy.calls}: a balloon left a guest too few frames"
    if result.end != "finished":
        return f"the run ended after call {policy.calls}: {clean(result.end)}"
    return result


# --- Parts ----------------------------------------------------------------------------


def probes() -> list[tuple[list[dict[str, Any]], int, int]]:
    """States of hosts that the runs need not come to: one VM, many, of unequal sizes; hosts
    without a free frame; idle VMs, and VMs that use all; VMs that hold nothing or page much."""

    def vm(number: int, memory: int = 2048, **changes: Any) -> dict[str, Any]:
        state = {
            "name": f"guest {number}", "memory": memory, "held": memory // 2, "balloon": 0,
            "active": 0.5, "guest_swap_ins": 0, "host_swap_ins": 0,
        }  # fmt: skip
        return state | changes

    four = range(1, 5)
    return [
        ([vm(1)], 100, 2048),
        ([vm(number) for number in four], 0, 5120),
        ([vm(number, active=0.0) for number in four], 3000, 5120),
        ([vm(number, active=1.0, held=2048) for number in four], 0, 5120),
        ([vm(number, held=0) for number in four], 5000, 5120),
        ([vm(number, balloon=2048, held=0, active=0.0) for number in four], 5000, 5120),
        ([vm(number, guest_swap_ins=4000, host_swap_ins=4000) for number in four], 0, 5120),
        ([vm(number, memory=1024 * number) for number in range(1, 9)], 10, 16384),
        ([vm(number) for number in (2, 4)], 900, 5120),
    ]


def _probed(source: str, block: int) -> Found:
    """A state each, one after the other: VMs come and go, as on any host."""
    asked = probes()
    try:
        with sandbox.Conversation(source, "targets", LIMITS, name=FILE) as conversation:
            policy = Policy(conversation, block)
            wrong = ""
            right = 0
            for vms, free, total in asked:
                try:
                    policy.ask(vms, free, total)
                    right += 1
                except Unusable as unusable:
                    wrong = wrong or clean(unusable)
    except sandbox.Stopped as stopped:
        return 0.0, clean(stopped.verdict.message)
    told = f"{right} of {len(asked)} made-up states had an answer that can be used"
    return right / len(asked), f"{told}; {wrong}" if wrong else told


def _in_room(problem: Problem, source: str, known: Known) -> Found:
    result = _run(problem, source, workload.ROOMY)
    if isinstance(result, str):
        return 0.0, result
    worst = known.worst(result)
    share = (HARMFUL - worst) / (HARMFUL - HARMLESS)
    told = f"worst slowdown {worst:.2f} where all VMs fit"
    return min(1.0, max(0.0, share)), told if worst <= HARMLESS else f"{told}: balloons did that"


def _host(result: RunResult, known: Known) -> Found:
    reads = result.total("host_swap_ins")
    part = reads / known.host_reads
    share = (1.0 - part) / (1.0 - RARELY)
    told = f"the host read back {reads:,} pages; {known.host_reads:,} without balloons"
    return min(1.0, max(0.0, share)), told


def _slowdown(result: RunResult, known: Known) -> Found:
    worst = known.worst(result)
    each = ", ".join(f"{slowdown:.2f}" for slowdown in known.slowdowns(result))
    told = f"slowdowns {each}; the worst is {known.without:.2f} without balloons"
    if known.reference is None:
        return 0.0, f"{told}; not marked here: only your course's grader knows what can be reached"
    way = (known.without - worst) / (known.without - known.reference)
    share = (way - CHANCE) / (ENOUGH - CHANCE)
    return min(1.0, max(0.0, share)), told
