"""What a run is configured with, checked before anything is allocated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from mmulab.mmu.config import guest_thp
from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets import architectures
from mmulab.mmu.presets.preset import PAGE_SIZES

SHADOW_POLICIES = ("unsync", "trap")
CACHES = ("sampled", "exact", "off")
GUEST_ALLOCATORS = ("buddy", "ptemagnet")
LLC = ("slice", "socket")  # or a number of bytes
MAX_VCPUS = 62  # of a VM: an assumption, so that a set of them is one whole number
HUGE_POLICIES = (*PAGE_SIZES, "thp")

#: What is compared unless somebody says otherwise: a VMM backs memory with huge pages where it can
#: (KVM through transparent huge pages or hugetlbfs), and without is what that is measured against.
TECHNIQUES = "native,shadow,nested,nested:host_page_size=2m"


@dataclass(frozen=True)
class Config:
    """A simulated machine, apart from its technique.

    memory, host_memory: bytes of guest-physical and host-physical memory; the host has
    an eighth more than the guest unless told otherwise. page_size: of the guest, "4k",
    "2m", "1g", or "thp" (2 MiB wherever a mapping covers an aligned range, else 4 KiB).
    host_page_size: what the VMM backs guest memory with. levels, host_levels: of the
    guest's and the nested page table; 0: as the preset's architecture has it. guest_allocator:
    "ptemagnet" gives eight neighbouring pages neighbouring frames (`mmu.guest.reservations`).
    guest_thp: the policy of a guest of page size "thp" (`mmu.config.guest_thp`).
    pcid, vpid, ept_ad: None: as the preset has it. walk_caches: False removes paging-structure
    caches and nested TLB. caches: whether the program's own lines go through the caches: "exact",
    all of them; "sampled", see `mmu.hardware.caches`; "off": the caches hold page tables alone,
    and data costs nothing. llc: how much of the last cache the VM has: a core's "slice", the whole
    of the "socket", or bytes. seed: of random replacement. guest_tables, host_tables: files of page
    tables that were dumped from a machine (`machine.dumps`), in place of the simulated guest's.
    cores: on which a trace's threads run, each with TLBs, walk caches and caches of its own but for
    the last (`machine.vcpus`).
    """

    memory: int = 16 << 30
    host_memory: int = 0
    page_size: str = "4k"
    host_page_size: str = "4k"
    levels: int = 4
    host_levels: int = 0
    shadow_policy: str = "unsync"
    guest_allocator: str = "buddy"
    guest_thp: str = "fault"
    pcid: bool | None = None
    vpid: bool | None = None
    ept_ad: bool | None = None
    walk_caches: bool = True
    caches: str = "sampled"
    llc: str | int = "socket"
    seed: int = 1
    guest_tables: str = ""
    host_tables: str = ""
    cores: int = 1

    def __post_init__(self) -> None:
        _choice("page size", self.page_size, HUGE_POLICIES)
        _choice("shadow policy", self.shadow_policy, SHADOW_POLICIES)
        _choice("guest allocator", self.guest_allocator, GUEST_ALLOCATORS)
        guest_thp.parse(self.guest_thp)
        if self.guest_thp != "fault" and self.page_size != "thp":
            raise InputError(
                f"guest thp {self.guest_thp}: guest pages are {self.page_size}; set page size thp"
            )
        _choice("host page size", self.host_page_size, PAGE_SIZES)
        _choice("caches", self.caches, CACHES)
        if isinstance(self.llc, str):
            _choice("llc", self.llc, LLC)
        elif not 1 << 12 <= self.llc <= 1 << 32:
            raise InputError(f"llc of {self.llc} bytes: expected 4 KiB to 4 GiB")
        if not 3 <= self.levels <= 5:
            raise InputError(f"levels {self.levels}: expected 3 to 5")
        if self.host_levels and not 2 <= self.host_levels <= 5:
            raise InputError(f"host levels {self.host_levels}: expected 2 to 5")
        for name in ("memory", "host_memory"):
            value = getattr(self, name)
            if value and not 1 << 20 <= value <= 1 << 42:
                raise InputError(
                    f"{name.replace('_', ' ')} of {value} bytes: expected 1 MiB to 4 TiB"
                )
        if not 1 <= self.cores <= MAX_VCPUS:
            raise InputError(f"{self.cores} cores: expected 1 to {MAX_VCPUS}")
        if self.cores > 1 and self.guest_tables:
            raise InputError("guest tables from a dump: expected one core")
        if not 0 < self.seed < 1 << 62:
            raise InputError(f"seed {self.seed}: expected 1 to 2**62 - 1")

    def on(self, arch: str) -> Config:
        """The same with what an architecture decides. Raises InputError where it has
        no tables of so many levels, or none that reaches all of the guest's memory."""
        about = architectures.OF[arch]
        for name, known in (("levels", about.levels), ("host_levels", tuple(about.physical))):
            value = getattr(self, name)
            if value not in known and (value or name == "levels"):
                *others, last = map(str, known)
                raise InputError(
                    f"{name.replace('_', ' ')} {value}: expected {', '.join(others)} or {last} "
                    f"on {arch}"
                )
        settled = replace(self, host_levels=self.host_levels or about.default_host or self.levels)
        bits = settled.physical_bits(arch)
        if self.memory > 1 << bits:
            raise InputError(
                f"memory of {self.memory} bytes: expected at most 2**{bits}, what guest-physical "
                f"addresses reach with {settled.host_levels} host levels on {arch}"
            )
        return settled

    def physical_bits(self, arch: str) -> int:
        """Bits of a guest-physical address, of a configuration that is `on` an architecture."""
        return architectures.OF[arch].physical[self.host_levels]

    def settings(self) -> dict[str, Any]:
        """All of it, but for dumps where there are none, and cores where there is one."""
        dumps = ("guest_tables", "host_tables")
        found = {name: each for name, each in asdict(self).items() if each or name not in dumps}
        return {name: each for name, each in found.items() if name != "cores" or self.cores > 1}

    @property
    def guest_frames(self) -> int:
        return self.memory >> 12

    @property
    def host_frames(self) -> int:
        return (self.host_memory or self.memory + self.memory // 8) >> 12


def _choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown(what, value, known)
