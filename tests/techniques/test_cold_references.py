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
    Row("flattened:sides=host", 14, 11, "N(g, 2)"),
    Row("direct-segment", 0, 0, "inside both segments: Gandhi et al., MICRO 2014"),
    Row("direct-segment:mode=vmm", 4, 3, "g: Gandhi et al., MICRO 2014"),
    Row("direct-segment:mode=guest", 4, 3, "h: Gandhi et al., MICRO 2014"),
    Row("direct-segment:mode=native", 0, 0, "inside the segment: Basu et al., ISCA 2013"),
    Row("sagepte", 20, 12, "N(g, h) - h: README of amirmnoohi/SagePTE-AE"),
    Row("asap", 24, 15, "N(g, h), of which some overlap: Margaritov et al., MICRO 2019"),
    Row("dmt", 3, 3, "G4H4 + G4 + UDH4: Zhang et al., ASPLOS 2024"),
    Row("dmt:pv=yes", 2, 2, "G4 + UDH4: Zhang et al., ASPLOS 2024"),
    Row("container", 4, 3, "n: the host's kernel is the only one"),
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
