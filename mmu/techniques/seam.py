"""The seam: what runs above a technique tells it, and when; and who else is called by address.

A table of addresses (`VM.ops`) stands between parts that are compiled apart. Of a technique it
holds the hooks below; those that it leaves out take the default. Each takes whole numbers
beside the machine, and returns one: a status unless it says otherwise. Nothing else in the
program knows which technique it serves. One more hook is one more line here.

The guest OS and the devices of the host are reached in the same way: the guest is compiled once
for all techniques, and asks devices without knowing whose they are.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.ops import Section
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory.status import NIL, OK

HOOK_SECTION = Section(32, 48)
HOOKS = HOOK_SECTION.ops  # of techniques, by name

SERVICE_SECTION = Section(80, 16)  # of the guest OS and of devices


def _hook(name: str, takes: str, meaning: str, default: Any, returns: str = "status") -> Any:
    return HOOK_SECTION.op(name, takes, meaning, default, returns)


# --- Defaults: what the processor does without a VMM --------------------------------


@kernel
def _nothing(machine):
    return OK


@kernel
def _nothing_1(machine, a):
    return OK


@kernel
def _nothing_2(machine, a, b):
    return OK


@kernel
def _nothing_3(machine, a, b, c):
    return OK


@kernel
def _anywhere(machine, above, gva, level):
    return NIL


@kernel
def _store(machine, table, index, entry):
    guest_tables.store_entry(machine, table, index, entry)
    return OK


@kernel
def _invlpg(machine, gva):
    return instructions.invlpg(machine, gva)


@kernel
def _load_cr3(machine, process, keep):
    target = machine.vm.process[process]
    return instructions.load_cr3(machine, target.cr3, target.asid, keep)


@kernel
def _fault(machine, status, gva, kind, user):
    return status


# --- Hooks of a technique -----------------------------------------------------------

start = _hook("start", "", "the machine starts", _nothing)
stop = _hook("stop", "", "the machine is switched off: the VMM's tables go back", _nothing)

touch = _hook("touch", "gfn", "the guest kernel overwrites a guest page", _nothing_1)
read = _hook("read", "gfn", "the guest kernel reads a guest page", _nothing_1)

table_allocated = _hook(
    "table_allocated",
    "gfn level gva",
    "the guest kernel has a new gPT page: its level, and the first address that it will map",
    _nothing_3,
)
table_freed = _hook("table_freed", "gfn", "the guest kernel frees a gPT page", _nothing_1)
new_root = _hook("new_root", "process cr3", "a process has a top-level gPT page", _nothing_2)
pin = _hook("pin", "process cr3", "a process's gPT is complete, and will be used", _nothing_2)

_store_through = _hook("store", "table index entry", "the guest kernel writes a gPTE", _store)
_invlpg_through = _hook("invlpg", "gva", "the guest kernel executes INVLPG", _invlpg)
_load_cr3_through = _hook(
    "load_cr3",
    "process keep",
    "the guest kernel loads CR3; keep: its bit 63, translations of the new PCID stay valid",
    _load_cr3,
)


@kernel
def store(machine, table, index, entry):
    """The guest kernel writes a gPTE. Returns a status."""
    machine.vcpu.stats[0].pte_writes += 1
    return _store_through(machine, table, index, entry)


@kernel
def invlpg(machine, gva):
    """The guest kernel executes INVLPG. Returns a status."""
    machine.vcpu.stats[0].invlpgs += 1
    return _invlpg_through(machine, gva)


@kernel
def load_cr3(machine, process, keep):
    """The guest kernel loads CR3. Returns a status."""
    machine.vcpu.stats[0].cr3_loads += 1
    return _load_cr3_through(machine, process, keep)


@kernel
def _flush_range(machine, process, start, end, cores):
    return load_cr3(machine, process, 0)


flush_range = _hook(
    "flush_range",
    "process start end cores",
    "the guest kernel drops the translations of a range, too many to do it page by page; "
    "cores: those that may hold them, as bits",
    _flush_range,
)

_kernel_enter_through = _hook("kernel_enter", "", "the guest kernel is entered", _nothing)


@kernel
def kernel_enter(machine):
    """The guest kernel is entered. Returns a status."""
    machine.vcpu.stats[0].kernel_entries += 1
    return _kernel_enter_through(machine)


kernel_leave = _hook("kernel_leave", "", "the guest kernel returns to the user", _nothing)
batch_begin = _hook(
    "batch_begin", "", "the guest kernel begins a series of gPTE writes (lazy MMU mode)", _nothing
)
batch_end = _hook("batch_end", "", "the series ends: it must be done now", _nothing)
mapping_made = _hook("mapping_made", "process start end", "a VMA was added", _nothing_3)
mapping_removed = _hook("mapping_removed", "process start end", "VMAs were removed", _nothing_3)

fault = _hook(
    "fault",
    "status gva kind user",
    "the core stopped: OK where the VMM has mended it, PAGE_FAULT where it is the guest's",
    _fault,
)

drop_mapping = _hook(
    "drop_mapping",
    "gfn",
    "the host page behind a gfn is about to change: nothing may lead to it any more; the VMM "
    "flushes once, before the VM runs",
    _nothing_1,
)
split = _hook("split", "gfn", "the large host page behind a gfn is cut to 4 KiB", _nothing_1)
protect = _hook("protect", "gfn", "stores to a page must be seen from now on", _nothing_1)
test_dirty = _hook(
    "test_dirty", "gfn", "test and clear", _nothing_1, "1 where it was stored to since `protect`"
)
is_mapped = _hook(
    "is_mapped", "gfn", "since it was last dropped", _nothing_1, "1 where the guest reached it"
)
was_accessed = _hook(
    "was_accessed", "gfn", "test and clear", _nothing_1, "1 where it was used since last asked"
)

place_table = _hook(
    "place_table",
    "above gva level",
    "the guest kernel is about to make a gPT page, below a table (none: -1), for a first address",
    _anywhere,
    "the gfn that it shall take, already allocated; -1: any",
)

place_page = _hook(
    "place_page",
    "process gva size",
    "the guest kernel is about to give a page of a size to an address at its first touch",
    _anywhere,
    "the first gfn that it shall take, already allocated; -1: any",
)

adopted = _hook(
    "adopted", "", "the guest's tables are in place that were dumped from a machine", _nothing
)

world_in = _hook("world_in", "", "the VM begins to run on this core", _nothing)
world_out = _hook("world_out", "", "the VM stops running on this core", _nothing)
elapsed = _hook(
    "elapsed",
    "accesses",
    "so many accesses have been made, at most 2,048, since this was last called: a timer",
    _nothing_1,
)
pin_dma = _hook("pin_dma", "gfn", "a device is about to reach a page by its address", _nothing_1)


# --- The guest OS, called by the machine --------------------------------------------

guest_event = SERVICE_SECTION.op(
    "guest_event", "kind pid start length value", "an event of the trace"
)
guest_fault = SERVICE_SECTION.op("guest_fault", "process gva kind", "a #PF that is the guest's own")

# --- Devices of the host, called by the guest's drivers ------------------------------

dma_read = SERVICE_SECTION.op("dma_read", "gfn", "a disk reads a guest page", _nothing_1)
dma_write = SERVICE_SECTION.op("dma_write", "gfn", "a disk overwrites a guest page", _nothing_1)
balloon_give = SERVICE_SECTION.op(
    "balloon_give", "gfn", "the guest gives a page to the balloon device", _nothing_1
)
balloon_done = SERVICE_SECTION.op(
    "balloon_done", "", "the guest has given what it will for now", _nothing
)

# --- The guest OS again, called by the machine: only where its policy has threads --------

guest_timer = SERVICE_SECTION.op(
    "guest_timer", "", "threads of the guest's kernel have work: see guest.huge", _nothing
)

#: Writes the defaults of all hooks.
link_defaults = HOOK_SECTION.linker(__name__, HOOK_SECTION.defaults)
