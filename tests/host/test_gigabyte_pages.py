"""Host pages of 1 GiB: given whole where they fit, cut where a part is needed."""

from __future__ import annotations

import pytest

from mmulab.mmu.check.host import check_system
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import build
from mmulab.workloads import of_vm

GIB = 1 << 18  # frames

SCENARIO = """
name = "large"
[host]
memory = "{host}"
swap = "1G"
quantum = 40_000
[[vm]]
name = "large"
memory = "1G"
technique = "{technique}"
host_page_size = "1g"
workload = "gups:size=16M,accesses=40k"
[[vm]]
name = "small"
memory = "320M"
workload = "gups:size=256M,accesses=100k"
"""


def frames_by_size(guest) -> list[int]:  # type: ignore[no-untyped-def]
    """Guest frames that pages of 4 KiB, 2 MiB and 1 GiB back."""
    entries = guest.vm.p2m[guest.vm.p2m > 0]
    return [int((entries & 3 == size).sum()) for size in range(3)]


@pytest.mark.parametrize("technique", ["nested", "shadow"])
def test_a_vm_lies_in_one_page_until_the_host_is_short(technique: str) -> None:
    text = SCENARIO.format(host="1200M", technique=technique)
    system = build(parsing.parse(text, "large.toml"), of_vm)
    large, small = system.guests
    assert system.step() and frames_by_size(large) == [0, 0, GIB]
    while system.step():
        pass
    check_system(system)
    in_pages = frames_by_size(large)
    assert in_pages[0] == int(large.held) < GIB and in_pages[1:] == [0, 0]
    assert small.accesses == 100_000 and frames_by_size(small)[0] > 60_000
    assert int(large.vcpu.stats[0]["host_swap_outs"]) > 0


def test_where_none_is_free_smaller_ones_are_taken() -> None:
    text = SCENARIO.format(host="1000M", technique="nested")
    system = build(parsing.parse(text, "large.toml"), of_vm)
    large = system.guests[0]
    assert system.step()
    in_pages = frames_by_size(large)
    assert in_pages[2] == 0 < in_pages[1]
    check_system(system)


def test_walks_of_larger_pages_are_shorter() -> None:
    references = []
    for size in ("4k", "2m", "1g"):
        text = SCENARIO.format(host="3G", technique="nested").replace('"1g"', f'"{size}"')
        system = build(parsing.parse(text, "large.toml"), of_vm)
        while system.step():
            pass
        guest = system.guests[0]
        references.append(guest.measured().references_in("nested"))
    assert references[0] > references[1] > references[2] > 0
