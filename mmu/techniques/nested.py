"""Hardware nested paging (EPT/NPT): the guest owns its tables, the VMM a second set.

A TLB miss walks in two dimensions. The guest changes its tables, CR3 and TLB
without a VM exit; the VMM hears only of gpas that the nested table lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mmulab.mmu.hardware.walks import arm, riscv
from mmulab.mmu.hardware.walks.two_dimensional import WALK
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField, Struct
from mmulab.mmu.memory import frames
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
    EPT_D,
    EPT_LARGE,
    EPT_R,
    EPT_RWX,
    EPT_W,
    EPT_WB,
    EPT_X,
    INDEX_BITS,
    PAGE_SHIFT,
    RW,
    XD,
    frame_of,
    index_of,
    pages_in,
)
from mmulab.mmu.memory.p2m import hfn_of, host_size_of
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.presets.architectures import AARCH64, RISCV64, root_tables
from mmulab.mmu.techniques import second_dimension
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE
from mmulab.mmu.techniques.reference import Entry, Page, Reference, Tables, leaf_at, leaves_of
from mmulab.mmu.techniques.technique import Technique
from mmulab.mmu.techniques.unshare import is_read_only


class NestedState(Struct):
    root: np.ndarray  # [1]: hfn of the top-level nPT page

    FIELDS = {"root": ArrayField(np.int64)}


_state = as_struct(NestedState)


@kernel
def _new_root(machine):
    """An empty root: (status, hfn of its first table). Tables of a wide one lie side by side,
    from a multiple of what they take together."""
    regs = machine.vcpu.regs[0]
    wider = max(0, regs.physical_bits - PAGE_SHIFT - INDEX_BITS * regs.root_levels)
    host = machine.host.frames
    hfn = frames.allocate(host, wider, NPT_PAGE, machine.vm.record[0].id, NIL)
    if hfn == NIL:
        return OUT_OF_HOST_FRAMES, hfn
    frames.split(host, hfn, 0)
    for table in range(hfn, hfn + (1 << wider)):
        if not memory.open_table(machine.host.memory, table):
            return OUT_OF_TABLES, hfn
        machine.vm.record[0].host_tables += 1
    return OK, hfn


@kernel
def new_table(machine):
    """An empty nPT page: (status, hfn)."""
    hfn = frames.allocate(machine.host.frames, 0, NPT_PAGE, machine.vm.record[0].id, NIL)
    if hfn == NIL:
        return OUT_OF_HOST_FRAMES, hfn
    if not memory.open_table(machine.host.memory, hfn):
        frames.release(machine.host.frames, hfn)
        return OUT_OF_TABLES, hfn
    machine.vm.record[0].host_tables += 1
    return OK, hfn


@kernel
def make_root(machine):
    """Makes the nPT's top-level table and turns EPT on."""
    status, hfn = _new_root(machine)
    if status == OK:
        machine.vcpu.regs[0].root = hfn
    return status


@kernel
def start(machine):
    status = make_root(machine)
    if status == OK:
        _state(machine.vm.private).root[0] = machine.vcpu.regs[0].root
    return status


@kernel
def stop(machine):
    """Frees the nPT. All its pages are the VM's frames of that kind: no walk is needed."""
    host = machine.host.frames
    left = machine.vm.record[0].host_tables
    for hfn in range(host.frame.size):
        if left == 0:
            break
        head = host.frame[hfn]
        if head.kind == NPT_PAGE and head.owner == machine.vm.record[0].id:
            left -= 1 << (int(head.order) - 1)
            memory.close_table(machine.host.memory, hfn)
            frames.release(host, hfn)
    machine.vm.record[0].host_tables = 0
    return OK


@kernel
def leaf_below(machine, root, gfn):
    """HPA of the EPT entry that ends the walk of a gfn from a root, and its level."""
    level = machine.vcpu.regs[0].root_levels
    table = root
    # Of a wide root all bits that are left: it may be more than one table.
    index = gfn >> (INDEX_BITS * (level - 1))
    while True:
        hpa = (table << PAGE_SHIFT) + (index << 3)
        entry = memory.load(machine.host.memory, hpa)
        if not entry & EPT_RWX or level == 1 or entry & EPT_LARGE:
            return hpa, level
        table = frame_of(entry)
        level -= 1
        index = index_of(gfn << PAGE_SHIFT, level)


@kernel
def leaf_address(machine, gfn):
    """The same from the root that the hardware uses."""
    return leaf_below(machine, machine.vcpu.regs[0].root, gfn)


def make_map_page(new_table: Any) -> Any:
    """The kernel that maps a page. new_table(machine, above, index, level) -> (status, hfn): an
    empty nPT page of a level, to which entry `index` of the one in frame `above` will point."""

    @kernel
    def map_page(machine, gfn):
        """Maps the host page that backs gfn into the nPT, read-only where its stores must be
        seen. Returns a status."""
        size = host_size_of(machine, gfn)
        hpa, level = leaf_address(machine, gfn)
        while level > size + 1:
            status, hfn = new_table(machine, hpa >> 12, index_of(gfn << 12, level), level - 1)
            if status != OK:
                return status
            memory.store(machine.host.memory, hpa, (hfn << 12) | EPT_RWX)
            hpa, level = leaf_address(machine, gfn)
        # Where a table is left from smaller pages, a large page is mapped in pieces.
        first = gfn & ~(pages_in(level - 1) - 1)
        large = EPT_LARGE if level > 1 else 0
        rights = EPT_R | EPT_X if is_read_only(machine, first) else EPT_RWX
        entry = (hfn_of(machine, first) << 12) | rights | EPT_WB | large
        memory.store(machine.host.memory, hpa, entry)
        return OK

    return map_page


@kernel
def new_below(machine, above, index, level):
    return new_table(machine)


map_page = make_map_page(new_below)
EPT_VIOLATIONS = second_dimension.EPT_VIOLATIONS
HOOKS = second_dimension.hooks_for(leaf_address, map_page)
touch, read, fault = HOOKS["touch"], HOOKS["read"], HOOKS["fault"]
is_mapped = HOOKS["is_mapped"]


class NestedReference(Reference):
    """The guest's tables, and each of their frames through the nested table."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self.root = int(tables.regs["root"])
        regs = tables.regs
        self._roots = root_tables(int(regs["physical_bits"]), int(regs["root_levels"]))
        self._nested = leaves_of(self.nested_entries())

    def nested_entries(self) -> Iterator[Entry]:
        regs = self.tables.regs
        levels = int(regs["root_levels"])
        return self.tables.entries(self.root, levels, EPT_RWX, lambda frame: frame, self._roots)

    def below(self, gfn: int) -> tuple[int, int, int] | None:
        """What maps a guest frame: (entry, hfn, size of the page); None where nothing does."""
        found = leaf_at(self._nested, gfn)
        return (found[0].value, found[1], found[0].level - 1) if found else None

    def translate(self, process: int, page: int) -> Page | None:
        above = super().translate(process, page)
        below = self.below(above.hfn) if above else None
        if above is None or below is None:
            return None
        entry, hfn, size = below
        rights = above.rights
        rights &= ~0 if entry & EPT_W else ~RW
        rights |= 0 if entry & EPT_X else XD
        dirty = above.dirty and (not self.tables.regs["root_ad"] or bool(entry & EPT_D))
        return Page(hfn, min(above.size, size), rights, dirty)

    def physical_uppers(self) -> dict[tuple[int, int], int]:
        return {
            (entry.level, entry.address >> (12 + 9 * (entry.level - 1))): entry.frame
            for entry in self.nested_entries()
            if not entry.is_leaf
        }

    def host_tables(self) -> dict[int, int]:
        below = {entry.frame for entry in self.nested_entries() if not entry.is_leaf}
        roots = range(self.root, self.root + self._roots)
        return dict.fromkeys(below.union(roots), NPT_PAGE)


TECHNIQUE = Technique(
    name="nested",
    summary="hardware nested paging (EPT/NPT), walked in two dimensions",
    source="Intel SDM vol. 3C, 29.3; Bhargava et al., ASPLOS 2008",
    module=__name__,
    walk=WALK,
    walks={AARCH64: arm.TWO_STAGES, RISCV64: riscv.TWO_STAGES},
    reference=NestedReference,
    hooks={"start": start, "stop": stop, **HOOKS},
    parameters=(HOST_PAGE_SIZE,),
    exits=second_dimension.WITH_PML,
    state=lambda sizes, values: NestedState(root=np.full(1, NIL, np.int64)),
    movable=True,
    dumps=True,
    smp=True,
)
