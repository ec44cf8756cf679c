"""Addresses and page-table entries, bit by bit.

A virtual address in long mode (Intel SDM vol. 3A, 4.5; AMD APM vol. 2, 5.3):

    63      57 56      48 47      39 38      30 29      21 20      12 11       0
    +---------+----------+----------+----------+----------+----------+----------+
    | sign    | PML5     | PML4     | PDPT     | PD       | PT       | offset   |
    +---------+----------+----------+----------+----------+----------+----------+
                level 5    level 4    level 3    level 2    level 1
                                      1G leaf    2M leaf    4K leaf

A guest-physical address is split the same way by the nested page table.

Levels count from 1 (page table) up. A page size is an index: 0 is 4 KiB, 1 is
2 MiB, 2 is 1 GiB, so that a leaf at level L maps a page of size L - 1.

Everything is a signed 64-bit integer: bit 63 is the sign, `>>` extends it.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined

PAGE_SHIFT = 12
PAGE_BYTES = 1 << PAGE_SHIFT
ENTRIES = 512  # entries a table
INDEX_BITS = 9
MAX_LEVELS = 5
SIZES = (4 << 10, 2 << 20, 1 << 30)  # bytes of page size 0, 1, 2
SIZE_NAMES = ("4k", "2m", "1g")

# --- x86-64 entries: gPT and sPT (Intel SDM vol. 3A, tables 4-15 to 4-20) -------
#
#   63   62:52   51:12         11:9    8    7    6    5    4    3    2    1    0
#  +----+-------+-------------+------+----+----+----+----+----+----+----+----+----+
#  | XD | ign.  | frame       | ign. | G  | PS | D  | A  |PCD |PWT | US | RW | P  |
#  +----+-------+-------------+------+----+----+----+----+----+----+----+----+----+
P = 1 << 0
RW = 1 << 1
US = 1 << 2
A = 1 << 5
D = 1 << 6
PS = 1 << 7
G = 1 << 8
COW = 1 << 9  # ignored by the processor; our guest OS marks copy-on-write here
SWITCH = 1 << 11  # in an sPTE, of agile paging: it points to the guest's own table
XD = -(1 << 63)

BESIDE = 1 << 52  # ours: hardware keeps something beside the entry, which software's loads miss

IGNORED = 7 << 9
#: In a TLB entry, bits 10:9 hold the page size of the guest's leaf, which may be larger
#: than the entry's own.
GUEST_SIZE_SHIFT = 9

# --- EPT entries: nPT (Intel SDM vol. 3C, tables 29-1 to 29-6) ------------------
#
#   63:52   51:12         11:10   9    8     7      6     5:3    2    1    0
#  +-------+-------------+------+----+----+-------+-----+------+----+----+----+
#  | ign.  | frame       | ign. | D  | A  | large | IPAT| type | X  | W  | R  |
#  +-------+-------------+------+----+----+-------+-----+------+----+----+----+
EPT_R = 1 << 0
EPT_W = 1 << 1
EPT_X = 1 << 2
EPT_WB = 6 << 3  # memory type write-back
EPT_LARGE = 1 << 7
EPT_A = 1 << 8
EPT_D = 1 << 9
EPT_RWX = EPT_R | EPT_W | EPT_X

FRAME = ((1 << 40) - 1) << PAGE_SHIFT  # bits 51:12, the same in both formats

# --- Page-fault error code (Intel SDM vol. 3A, figure 4-12) ---------------------
PF_PRESENT = 1 << 0
PF_WRITE = 1 << 1
PF_USER = 1 << 2
PF_RESERVED = 1 << 3
PF_FETCH = 1 << 4


@inlined
def frame_of(entry):
    """Frame number in bits 51:12 of an entry of either format."""
    return (entry & FRAME) >> PAGE_SHIFT


@inlined
def index_of(address, level):
    """Index into the table of a level."""
    return (address >> (PAGE_SHIFT + INDEX_BITS * (level - 1))) & (ENTRIES - 1)


@inlined
def level_shift(level):
    """log2 of the bytes that one entry of a level maps."""
    return PAGE_SHIFT + INDEX_BITS * (level - 1)


@inlined
def offset_in(address, level):
    """Which 4 KiB page of the page that a leaf of a level maps an address lies in."""
    return (address >> PAGE_SHIFT) & ((1 << (INDEX_BITS * (level - 1))) - 1)


@inlined
def frame_at(leaf, address, level):
    """The 4 KiB frame of an address that a leaf of a level maps."""
    return frame_of(leaf) + offset_in(address, level)


@inlined
def pages_in(size):
    """4 KiB frames in a page of this size."""
    return 1 << (INDEX_BITS * size)


@inlined
def is_canonical(address, levels):
    """True where bits 63 to the top bit that `levels` levels translate are all equal."""
    unused = 64 - (PAGE_SHIFT + INDEX_BITS * levels)
    return ((address << unused) >> unused) == address


def parse_size(name: str) -> int:
    """Page-size index of "4k", "2m" or "1g" (any case; a trailing b or ib is fine).

    Raises InputError for anything else.
    """
    from mmulab.mmu.errors import InputError

    short = name.lower().removesuffix("ib").removesuffix("b")
    if short not in SIZE_NAMES:
        raise InputError(f"page size {name!r}: expected one of {', '.join(SIZE_NAMES)}")
    return SIZE_NAMES.index(short)
