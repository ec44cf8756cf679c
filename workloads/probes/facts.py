"""What this machine says of itself: its processor, and whether it is a virtual one."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

from mmulab.mmu import presets

#: Presets by x86 vendor, family and models; of an unlisted model the nearest older one with the
#: same L2 TLB. Linux, arch/x86/include/asm/intel-family.h; AMD, revision guides.
_X86: tuple[tuple[str, int, frozenset[int] | None, str], ...] = (
    ("GenuineIntel", 6, frozenset({0x3C, 0x3F, 0x45, 0x46, 0x3D, 0x47, 0x4F, 0x56}), "haswell"),
    ("GenuineIntel", 6, frozenset({0x4E, 0x5E, 0x55, 0x8E, 0x9E, 0xA5, 0xA6}), "skylake-sp"),
    ("GenuineIntel", 6, frozenset({0x97, 0x9A, 0xB7, 0xBA, 0xBF}), "golden-cove"),
    ("GenuineIntel", 6, frozenset({0x8F, 0xCF}), "sapphire-rapids"),
    ("GenuineIntel", 6, frozenset({0xBD, 0xC5, 0xC6, 0xB5}), "lion-cove"),
    ("AuthenticAMD", 0x10, None, "opteron-2008"),
    ("AuthenticAMD", 0x19, None, "zen-4"),
    ("AuthenticAMD", 0x1A, None, "zen-5"),
)

#: Presets by Arm's part number. Linux, arch/arm64/include/asm/cputype.h.
_ARM = {0xD0C: "neoverse-n1", 0xD4F: "neoverse-v2"}

_NICE = 5

_DMI = Path("/sys/class/dmi/id")

#: Makers of virtual machines, as the DMI tables of their guests name them.
_VIRTUAL = ("qemu", "kvm", "vmware", "xen", "virtualbox", "innotek", "bochs", "parallels",
            "amazon ec2", "google compute engine", "virtual machine")  # fmt: skip


class Facts(NamedTuple):
    """model: the processor's name. base: the preset that is nearest to it. known: whether that
    was found by family and model. virtual: how it is known that this is a virtual machine; empty
    where no hypervisor is seen. huge_pages: whether 2 MiB pages can be asked for by madvise."""

    model: str
    base: str
    known: bool
    virtual: str
    huge_pages: bool

    def to_dict(self) -> dict[str, object]:
        return self._asdict()


def read(base: str | None = None) -> Facts:
    """The facts of this machine. base: the preset to take where the user named one."""
    cpu = fields(_text(Path("/proc/cpuinfo")))
    found = preset_of(cpu)
    return Facts(
        cpu.get("model name") or platform.processor() or platform.machine(),
        base or found or presets.DEFAULT,
        found is not None,
        seen_hypervisor(cpu, _text(_DMI / "sys_vendor") + " " + _text(_DMI / "product_name")),
        "[never]" not in _text(Path("/sys/kernel/mm/transparent_hugepage/enabled"), "[never]"),
    )


def fields(text: str) -> dict[str, str]:
    """The first processor of /proc/cpuinfo."""
    found: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def preset_of(cpu: dict[str, str]) -> str | None:
    """The preset of a processor of /proc/cpuinfo; None where none is near."""
    if "CPU part" in cpu:
        return _ARM.get(_number(cpu["CPU part"]))
    vendor, family = cpu.get("vendor_id", ""), _number(cpu.get("cpu family", ""))
    model = _number(cpu.get("model", ""))
    for maker, its_family, models, name in _X86:
        if (vendor, family) == (maker, its_family) and (models is None or model in models):
            return name
    return None


def seen_hypervisor(cpu: dict[str, str], maker: str) -> str:
    """How it is known that a hypervisor runs below; empty where none is seen.

    The flag is CPUID leaf 1, ECX bit 31, which hypervisors set and processors do not. Arm has no
    such flag; there the maker's name, of the DMI tables, has to say it.
    """
    if "hypervisor" in cpu.get("flags", "").split():
        return "CPUID says that a hypervisor is present"
    if any(name in maker.lower() for name in _VIRTUAL):
        return f"its maker is {maker.strip()}, by DMI"
    return ""


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1


def _text(path: Path, missing: str = "") -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0")
    except OSError:
        return missing


def be_nice() -> None:
    """Lets everything else on the machine go first, from now on."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
