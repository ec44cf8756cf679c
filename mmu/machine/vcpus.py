"""Several vCPUs of one VM in turn: a trace's order is kept, and each thread has its own vCPU.

    engine.run --> OTHER_VCPU --> `Turns.go_on` --> engine.run on the other's core

One vCPU runs at a time, in the order of the trace, so that what the guest does is the same on any
number of them. Each core's time is its own: they run at once, as far as they are told of nothing.
What others must drop is delivered before they go on. A vCPU whose threads have not run for
IDLE_AFTER accesses is idle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mmulab.mmu.config import MAX_VCPUS
from mmulab.mmu.errors import InputError
from mmulab.mmu.guest.shootdown import deliver
from mmulab.mmu.hardware.state import VCPU, Machine
from mmulab.mmu.memory.status import NIL, OK, OTHER_VCPU, POSTS_DUE
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.techniques.technique import Technique

#: Accesses of others after which a vCPU has nothing to do: an assumption; a slice of some 0.5 ms,
#: as a host's quantum.
IDLE_AFTER = 100_000

#: A vCPU's VPID is its VM's number, and above so many bits its own.
VPID_SHIFT = 20

MachineOf = Callable[[int], Machine]


def check_vcpus(what: str, technique: Technique, vcpus: int) -> None:
    """Raises InputError where a technique's VM cannot have so many vCPUs. what: to say whose."""
    if not 1 <= vcpus <= MAX_VCPUS:
        raise InputError(f"{what}: {vcpus} vCPUs; expected 1 to {MAX_VCPUS}")
    if vcpus > 1 and not technique.smp:
        raise InputError(
            f"{what}: technique {technique.name} has one vCPU: what it keeps is of one; "
            f"expected native, nested or shadow"
        )


def name(vcpu: VCPU, number: int) -> None:
    """Gives a vCPU its number, and a VPID of its own."""
    vcpu.regs[0]["number"] = number
    vcpu.regs[0]["vpid"] += number << VPID_SHIFT


def _begin(first: VCPU, vcpu: VCPU) -> None:
    """A vCPU that has no address space is as the first, which the VM's start has set up."""
    own = {field: int(vcpu.regs[0][field]) for field in ("number", "vpid")}
    np.copyto(vcpu.regs, first.regs)
    for field, value in own.items():
        vcpu.regs[0][field] = value
    vcpu.regs[0]["looked_up"] = vcpu.regs[0]["owed"] = 0


def settle(vm: VM, machine_of: MachineOf) -> int:
    """All vCPUs drop what they have been told to. Returns a status."""
    record = vm.record[0]
    record["flushed"] = 0
    told = vm.post["targets"][: int(record["posts"])]
    everybody = int(np.bitwise_or.reduce(told)) if len(told) else 0
    status = OK
    for number in range(len(vm.cpu)):
        if everybody >> number & 1 or vm.cpu[number]["owes"]:
            status = status or int(deliver(machine_of(number)))
    record["posts"] = 0
    return status


def total_of(vcpus: list[VCPU]) -> VCPU:
    """One vCPU that has counted what several have."""
    if len(vcpus) == 1:
        return vcpus[0]
    fields = {}
    for name in VCPU.FIELDS:
        arrays = [getattr(vcpu, name) for vcpu in vcpus]
        total = arrays[0].copy()
        if name in ("stats", "first"):
            for field in total.dtype.names:
                total[field] = sum(array[field] for array in arrays)
        elif name in ("exits", "own", "references", "hidden", "first_exits", "first_own"):
            total = sum(arrays[1:], total)
        fields[name] = total
    return VCPU(**fields)


class Turns:
    """Whose turn it is, of the vCPUs of a VM.

    vcpus: of it, by number. machine_of: a view of one on the core that it is on. at: whose turn it
    is. kinds: accesses of each by kind, int64[vCPUs, 3]. accesses: of all so far.
    """

    def __init__(self, vcpus: Sequence[VCPU], machine_of: MachineOf) -> None:
        self.vcpus = list(vcpus)
        self.machine_of = machine_of
        self.at = 0
        self.kinds = np.zeros((len(vcpus), 3), np.int64)
        self.accesses = 0
        self._ran_last = [0] * len(vcpus)
        for number, vcpu in enumerate(vcpus):
            name(vcpu, number)

    @property
    def machine(self) -> Machine:
        return self.machine_of(self.at)

    def ran(self, kinds: np.ndarray) -> None:
        """The vCPU has made accesses of these kinds."""
        self.accesses += len(kinds)
        self.kinds[self.at] += np.bincount(kinds & 3, minlength=3)
        self._ran_last[self.at] = self.accesses

    def go_on(self, status: int) -> int:
        """After a status of `engine.run`: OK where it can be run again, on whose turn it is."""
        if status not in (OK, OTHER_VCPU, POSTS_DUE):
            return status
        failed = self.settle()
        if status == OTHER_VCPU:
            self._hand_over()
        return failed

    def settle(self) -> int:
        """All vCPUs drop what they have been told to, and those that have nothing to do are idle.
        Returns a status."""
        vm = self.machine.vm
        status = settle(vm, self.machine_of)
        for number, last in enumerate(self._ran_last):
            if self.accesses - last >= IDLE_AFTER:
                vm.cpu[number]["idle"] = 1
        return status

    def _hand_over(self) -> None:
        """The next event is of another vCPU."""
        old, vm = self.vcpus[self.at], self.machine.vm
        self.at = int(vm.record[0]["next_vcpu"])
        new = self.vcpus[self.at]
        vm.record[0]["current"] = vm.cpu[self.at]["process"]
        if vm.record[0]["current"] == NIL:
            _begin(self.vcpus[0], new)
        for field in ("most_of_guest", "most_of_host"):
            new.first[0][field] = old.first[0][field]
