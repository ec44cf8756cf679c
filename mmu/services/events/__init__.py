"""What can happen to a VM at a time that a scenario names: `[[event]] do = ...`, a file each."""

from __future__ import annotations

from mmulab.mmu.services.events.action import Action
from mmulab.mmu.services.events.balloon import Balloon
from mmulab.mmu.services.events.crash import Crash
from mmulab.mmu.services.events.delete import Delete
from mmulab.mmu.services.events.migrate import Migrate
from mmulab.mmu.services.events.resize import Resize
from mmulab.mmu.services.events.restore import Restore
from mmulab.mmu.services.events.resume import Resume
from mmulab.mmu.services.events.snapshot import Snapshot
from mmulab.mmu.services.events.start import Start
from mmulab.mmu.services.events.stop import Stop
from mmulab.mmu.services.events.suspend import Suspend
from mmulab.mmu.services.events.template import Template

#: By the name that `do` has.
ACTIONS: dict[str, type[Action]] = {
    each.name: each
    for each in (
        Balloon, Start, Stop, Crash, Suspend, Resume, Template, Snapshot, Restore, Migrate,
        Delete, Resize,
    )
}  # fmt: skip
