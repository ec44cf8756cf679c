"""What /proc/cpuinfo and DMI say."""

from __future__ import annotations

import pytest

from mmulab.mmu import presets
from mmulab.mmu.errors import RunError
from mmulab.workloads.probes import facts, memory

CPUS = {
    "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 63\nmodel name : E5": "haswell",
    "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 85": "skylake-sp",
    "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 143": "sapphire-rapids",
    "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 189": "lion-cove",
    "vendor_id : AuthenticAMD\ncpu family : 25\nmodel : 17": "zen-4",
    "vendor_id : AuthenticAMD\ncpu family : 26\nmodel : 2": "zen-5",
    "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c": "neoverse-n1",
    "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd4f": "neoverse-v2",
    "vendor_id : GenuineIntel\ncpu family : 15\nmodel : 2": None,
    "": None,
}


@pytest.mark.parametrize("text", CPUS)
def test_the_preset_goes_by_family_and_model(text: str) -> None:
    assert facts.preset_of(facts.fields(text)) == CPUS[text]
    assert CPUS[text] is None or CPUS[text] in presets.names()


def test_only_the_first_processor_counts() -> None:
    assert facts.fields("model : 1\nflags : a\n\nmodel : 2\n") == {"model": "1", "flags": "a"}


@pytest.mark.parametrize(
    ("flags", "maker", "seen"),
    [
        ("fpu vme hypervisor", "", "CPUID"),
        ("fpu vme", "QEMU Standard PC", "QEMU"),
        ("", "Amazon EC2 c7g.large", "Amazon"),
        ("fpu vme", "Supermicro X11", ""),
        ("fpu hypervisors", "Dell Inc. PowerEdge", ""),
    ],
)
def test_a_hypervisor_is_seen_by_flag_or_maker(flags: str, maker: str, seen: str) -> None:
    found = facts.seen_hypervisor({"flags": flags}, maker)
    assert (seen in found) if seen else not found


def test_a_user_names_the_base() -> None:
    assert facts.read("haswell").base == "haswell"
    assert facts.read().base in presets.names()


@pytest.mark.parametrize(
    ("free", "allowed"), [(64 << 30, 1 << 30), (2 << 30, 512 << 20), (1 << 27, 32 << 20)]
)
def test_probes_take_a_quarter_of_what_is_free(monkeypatch, free: int, allowed: int) -> None:  # type: ignore
    monkeypatch.setattr(memory, "available", lambda: free)
    assert memory.budget() == allowed


@pytest.mark.parametrize(
    ("free", "sentence"),
    [(100 << 20, "100 MiB of memory free; the probes need 128"), (None, "need Linux")],
)
def test_too_little_memory_is_said(monkeypatch, free: int | None, sentence: str) -> None:  # type: ignore
    monkeypatch.setattr(memory, "available", lambda: free)
    with pytest.raises(RunError, match=sentence):
        memory.budget()


def test_memory_is_aligned_zero_and_given_back() -> None:
    with memory.reserved(4 << 20, "2m") as words:
        assert words.nbytes == 4 << 20 and words.ctypes.data % (2 << 20) == 0
        assert not words.any() and 0 <= memory.huge_part(words) <= 1
