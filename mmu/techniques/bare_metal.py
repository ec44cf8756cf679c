"""Bare metal as a variant of a technique for VMs: a VM whose memory lies in one segment.

The segment is a partition's: all of the VM's memory, backed and pinned from the start. Translating
by it is an addition that costs nothing, so that what is left is the guest's dimension, which is
bare metal's only one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import nested, partition
from mmulab.mmu.techniques.reference import Entry, Page, Reference, Tables


def or_bare_metal(hooks: Mapping[str, Any], is_native: Any) -> dict[str, Any]:
    """Hooks of a table of guest-physical memory, `start` and `stop` among them, and what stands in
    for them where there is none. is_native(machine): whether that is so."""
    start_host, stop_host = hooks["start"], hooks["stop"]
    touch_host, read_host, fault_host = hooks["touch"], hooks["read"], hooks["fault"]
    store_host, drop, mapped = hooks["store"], hooks["drop_mapping"], hooks["is_mapped"]
    protect_host, dirty, accessed = hooks["protect"], hooks["test_dirty"], hooks["was_accessed"]

    @kernel
    def start(machine):
        return partition.start(machine) if is_native(machine) else start_host(machine)

    @kernel
    def stop(machine):
        return partition.stop(machine) if is_native(machine) else stop_host(machine)

    @kernel
    def touch(machine, gfn):
        return OK if is_native(machine) else touch_host(machine, gfn)

    @kernel
    def read(machine, gfn):
        return OK if is_native(machine) else read_host(machine, gfn)

    @kernel
    def fault(machine, status, gva, kind, user):
        return status if is_native(machine) else fault_host(machine, status, gva, kind, user)

    @kernel
    def store(machine, table, index, entry):
        if is_native(machine):
            guest_tables.store_entry(machine, table, index, entry)
            return OK
        return store_host(machine, table, index, entry)

    @kernel
    def drop_mapping(machine, gfn):
        return OK if is_native(machine) else drop(machine, gfn)

    @kernel
    def protect(machine, gfn):
        return OK if is_native(machine) else protect_host(machine, gfn)

    @kernel
    def test_dirty(machine, gfn):
        return OK if is_native(machine) else dirty(machine, gfn)

    @kernel
    def is_mapped(machine, gfn):
        return 1 if is_native(machine) else mapped(machine, gfn)

    @kernel
    def was_accessed(machine, gfn):
        return 1 if is_native(machine) else accessed(machine, gfn)

    return {
        "start": start,
        "stop": stop,
        "touch": touch,
        "read": read,
        "fault": fault,
        "store": store,
        "drop_mapping": drop_mapping,
        "protect": protect,
        "test_dirty": test_dirty,
        "is_mapped": is_mapped,
        "was_accessed": was_accessed,
    }


class BareMetalReference(nested.NestedReference):
    """The guest's tables, and the nPT below or, `native`, the p2m."""

    def __init__(self, tables: Tables, native: bool) -> None:
        self.native = native
        super().__init__(tables)

    def nested_entries(self) -> Iterator[Entry]:
        return iter(()) if self.native else super().nested_entries()

    def translate(self, process: int, page: int) -> Page | None:
        if not self.native:
            return super().translate(process, page)
        found = Reference.translate(self, process, page)
        return found and found._replace(hfn=self.tables.hfn_of(found.hfn))

    def host_tables(self) -> dict[int, int]:
        return {} if self.native else super().host_tables()
