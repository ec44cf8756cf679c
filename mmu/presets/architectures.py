"""What an architecture says of its page tables: how many levels there may be, and of how many
bits an address is that the second stage translates. Tables have 4 KiB and 512 entries.
"""

from __future__ import annotations

from dataclasses import dataclass

X86_64, AARCH64, RISCV64 = "x86-64", "aarch64", "riscv64"

#: The size that KVM gives a guest on Arm unless told otherwise: KVM_PHYS_SHIFT, 40
#: (Linux, arch/arm64/include/asm/kvm_arm.h).
KVM_IPA_BITS = 40


@dataclass(frozen=True)
class Architecture:
    """levels: that a table may have, the guest's or the only one. physical: bits of a
    guest-physical address by levels of the nested table. default_host: levels of the nested
    table unless somebody says; 0: as many as the guest's."""

    levels: tuple[int, ...]
    physical: dict[int, int]
    default_host: int


def stage_2_levels(ipa_bits: int) -> int:
    """Levels of Arm's stage 2 for addresses of so many bits, granule 4 KiB: as many as stage 1
    takes for four bits fewer, since up to 16 tables are concatenated at the first (Linux,
    arch/arm64/include/asm/stage2_pgtable.h, stage2_pgtable_levels())."""
    return stage_1_levels(ipa_bits - 4)


def stage_1_levels(bits: int) -> int:
    """Levels of a table for addresses of so many bits (Linux, ARM64_HW_PGTABLE_LEVELS())."""
    return -(-(bits - 12) // 9)


OF = {
    # Intel SDM vol. 3A, 4.5; vol. 3C, 29.3.2.
    X86_64: Architecture((4, 5), {4: 48, 5: 57}, 4),
    # Stage 1 of 39, 48 and 52 bits (the last FEAT_LPA2); stage 2 of the sizes that Linux lets
    # user space ask for (Documentation/virt/kvm/api.rst, KVM_VM_TYPE_ARM_IPA_SIZE: 32 to 52).
    AARCH64: Architecture((3, 4, 5), {2: 34, 3: KVM_IPA_BITS, 4: 48}, stage_2_levels(KVM_IPA_BITS)),
    # Sv39, Sv48, Sv57; Sv39x4, Sv48x4, Sv57x4 (RISC-V Privileged Architecture).
    RISCV64: Architecture((3, 4, 5), {3: 41, 4: 50, 5: 59}, 0),
}


def root_tables(physical_bits: int, host_levels: int) -> int:
    """Tables of 4 KiB that lie side by side at the root of a nested table."""
    return max(1, 1 << (physical_bits - 12 - 9 * host_levels))
