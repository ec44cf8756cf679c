"""References of a walk that finds every cache cold, by technique, against its publication.

n, g and h are the levels that a walk of one table, the guest's or the host's, reads: 4, and one
fewer where the leaf maps 2 MiB. A walk in two dimensions reads N(g, h) = (g + 1)(h + 1) - 1.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from drivers.one_machine import Driver
from drivers.walks import LARGE_MEMORY, cold


class Row(NamedTuple):
    """References with leaves of 4 KiB, and with leaves of 2 MiB in both dimensions."""

    technique: str
    small: int
    large: int
    source: str


TABLE = (
    Row("native", 4, 3, "n: Intel SDM vol. 3A, 4.5"),
    Row("shadow", 4, 3, "n: Linux KVM, Documentation/virt/kvm/x86/mmu.rst"),
    Row("nested", 24, 15, "N(g, h): Bhargava et al., ASPLOS 2008"),
    Row("partition", 4, 3, "n: base and bound read nothing; IBM z/VM, ZPMBK"),
    Row(
        "flat-nested",
        9,
        7,
        "2g + 1: Ahn et al., ISCA 2012. Derived: the abstract gives no count",
    ),
    Row(
        "flattened",
        8,
        8,
        "N(2, 2), a 2 MiB leaf being 512 entries of the merged table: Park et al., ASPLOS 2022. "
        "Derived: the abstract gives averages only",
    ),
    Row("flattened:sides=guest", 14, 11, "N(2, h)"),
    Row("flattened:sides=native", 2, 2, "two merged tables, of which a 2 MiB leaf has 512 entries"),
    Row("flattened:sides=host", 14, 11, "N(g, 2)"),
    Row("direct-segment", 0, 0, "inside both segments: Gandhi et al., MICRO 2014"),
    Row("direct-segment:mode=vmm", 4, 3, "g: Gandhi et al., MICRO 2014"),
    Row("direct-segment:mode=guest", 4, 3, "h: Gandhi et al., MICRO 2014"),
    Row("direct-segment:mode=native", 0, 0, "inside the segment: Basu et al., ISCA 2013"),
    Row("sagepte", 20, 12, "N(g, h) - h: README of amirmnoohi/SagePTE-AE"),
    Row("asap", 24, 15, "N(g, h), of which some overlap: Margaritov et al., MICRO 2019"),
    Row("dmt:mode=native", 1, 1, "G4: Zhang et al., ASPLOS 2024, abstract"),
    Row("dmt", 3, 3, "G4H4 + G4 + UDH4: Zhang et al., ASPLOS 2024"),
    Row("dmt:pv=yes", 2, 2, "G4 + UDH4: Zhang et al., ASPLOS 2024"),
    Row("tpt", 4, 3, "n: one dimension: Bergman et al., USENIX ATC 2023, abstract"),
    Row("hosted", 24, 15, "N(g, h), as nested: what a host OS does is no reference"),
    Row("hosted:mmu=shadow", 4, 3, "n, as shadow"),
    Row("rmm", 24, 15, "N(g, h): a range is filled beside the walk. Karakostas et al., ISCA 2015"),
    Row("paravirt", 4, 3, "n: the guest's tables hold the host's frames: Xen, arch/x86/mm.c"),
    Row("pvm", 4, 3, "n, as shadow: Huang et al., SOSP 2023"),
    Row("container", 4, 3, "n: the host's kernel is the only one"),
    Row("agile:start=shadow", 4, 3, "n, in shadow mode: Gandhi et al., ISCA 2016"),
    # g + k h, of the k lowest tables of the walk nested: those of levels up to `switch`, of which
    # a walk to a leaf of 2 MiB has one fewer.
    Row("agile:switch=0", 4, 3, "k = 0"),
    Row("agile:switch=1", 8, 3, "k = 1, 0"),
    Row("agile:switch=2", 12, 6, "k = 2, 1"),
    Row("agile:switch=3", 16, 9, "k = 3, 2"),
    Row("agile:switch=4", 20, 12, "k = 4, 3"),
    Row("agile:switch=nested", 24, 15, "N(g, h)"),
    Row(
        "pom-tlb",
        25,
        16,
        "N(g, h), and the line of the one area in use; a hit reads that line alone: Ryoo et al., "
        "ISCA 2017. Derived",
    ),
    Row(
        "elastic-cuckoo",
        15,
        15,
        "d * d + d + d probes in 3 steps, each side having a table of one page size, d = 3 ways: "
        "Stojkovic et al., ASPLOS 2022 (abstract: all but three steps). Direct walks, warm: 3",
    ),
    Row("elastic-cuckoo:sides=host", 19, 15, "g + (g + 1) d probes in 2g + 1 steps: the same"),
    Row("elastic-cuckoo:sides=native", 3, 3, "d probes in 1 step: Skarlatos et al., ASPLOS 2020"),
    Row("binary-translation", 4, 3, "n: the shadow's, Adams and Agesen, ASPLOS 2006"),
    Row("nested-on-nested", 24, 15, "N(g, h) over EPT02: Ben-Yehuda et al., OSDI 2010"),
    Row("nested-on-nested:mode=shadow-on-ept", 24, 15, "N(n, h) over EPT01"),
    Row("nested-on-nested:mode=pvm-on-ept", 24, 15, "N(n, h) over EPT01: derived"),
)


@pytest.mark.parametrize("size", ["4k", "2m"])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.technique)
def test_a_cold_walk_reads_what_its_publication_says(row: Row, size: str) -> None:
    driver = Driver(
        row.technique,
        page_size=size,
        host_page_size=size,
        memory=LARGE_MEMORY,
        walk_caches=False,
    )
    assert cold(driver) == (row.small if size == "4k" else row.large), row.source
