"""A policy of one's own: a Python file that declares a class `Policy`.

A `Policy` is made anew, without arguments, for each run: what it keeps in itself it remembers from
one look to the next. Its `targets(vms, host)` is asked at each look, with `VMs` and `HostMemory`
of `asked.py`, and answers with the frames that each VM's balloon should hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmulab.mmu.config import python_files
from mmulab.mmu.errors import InputError
from mmulab.mmu.services.esx import Thresholds
from mmulab.mmu.services.policies.asked import HostMemory, Plan, VMs

KIND = "policy"


class Targets(Protocol):
    """What a policy of one's own is."""

    def targets(self, vms: VMs, host: HostMemory) -> Any: ...


def load(name: str) -> type:
    """The class of a file. Raises InputError, also where it has none."""
    path = Path(name)
    found = getattr(python_files.load(KIND, path), "Policy", None)
    if not isinstance(found, type) or not callable(getattr(found, "targets", None)):
        raise InputError(f"{KIND} {path}: expected a class Policy with a method targets(vms, host)")
    return found


class Asked:
    """Asks somebody's policy, and checks what it answers. name: of its file, for errors; what an
    object without a file raises is not touched."""

    watches = True
    thresholds = Thresholds()

    def __init__(self, policy: Targets, name: str = "") -> None:
        self.policy = policy
        self.name = name

    @classmethod
    def of_file(cls, name: str) -> Asked:
        """Raises InputError."""
        kind, path = load(name), str(Path(name))
        return cls(python_files.guarded(KIND, path, kind), path)

    def plan(self, vms: VMs, host: HostMemory) -> Plan:
        """Raises InputError where the policy fails, or answers what is no target."""

        def ask() -> Any:
            return self.policy.targets(vms, host)

        answer = python_files.guarded(KIND, self.name, ask) if self.name else ask()
        return Plan.of_balloons(self._checked(answer, vms))

    def _checked(self, answer: Any, vms: VMs) -> Any:
        what = f"{KIND} {self.name}".strip()
        try:
            sizes = np.asarray(answer, np.float64)
        except (TypeError, ValueError):
            sizes = np.empty(0)
        if sizes.shape != (len(vms),):
            shown = repr(answer).split("\n")[0][:80]
            raise InputError(
                f"{what}: targets() gave {shown}; expected {len(vms)} numbers of frames, one a VM"
            )
        for name, size, memory in zip(vms.name, sizes.tolist(), vms.memory.tolist(), strict=True):
            if not 0 <= size <= memory or size != int(size):
                raise InputError(
                    f"{what}: the target of {name} is {size:g} frames; expected a whole number "
                    f"from 0 to its memory, {memory:,}"
                )
        return sizes

    def note(self) -> str:
        return "the policy asked for nothing"
