"""A balloon policy: every VM keeps what it works on; what is left of the host is shared equally.

What a VM works on is the estimate of its active memory, from samples. It comes late, so that a
guest that has just read pages back from its disk is allowed some more.
"""

import numpy as np

KEPT = 0.04  # part of the host for page tables, and for what comes between two looks
MORE = 1 / 16  # part of its memory that a guest which pages is allowed more


class Policy:
    """Made anew for each run: what it keeps is remembered from one look to the next."""

    def __init__(self):
        self.extra = {}  # frames by VM

    def targets(self, vms, host):
        """How many frames the balloon of each VM should hold."""
        for name, memory, pages in zip(vms.name, vms.memory, vms.guest_swap_ins, strict=True):
            before = self.extra.get(name, 0)
            self.extra[name] = before + MORE * memory if pages else 0.9 * before
        extra = np.array([self.extra[name] for name in vms.name])
        needed = np.minimum(vms.active * vms.memory + extra, vms.memory)
        left = (1 - KEPT) * host.total - needed.sum()
        if left < 0:
            allowed = needed * (1 - KEPT) * host.total / needed.sum()
        else:
            allowed = np.minimum(needed + left / len(vms), vms.memory)
        return np.floor(vms.memory - allowed)
