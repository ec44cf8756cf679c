"""Random histories of a guest, under every technique in lockstep, checked after every step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drivers.guest import BASES, BIG, PAGE, REGION, SMALL, Guest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu import simulate
from mmulab.mmu.check import CheckFailed, check, compare_contents
from mmulab.mmu.config import Config
from mmulab.mmu.errors import RunError
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.techniques.paravirt.state import WRITES

# --- Steps ----------------------------------------------------------------------------

pages = st.integers(0, REGION // PAGE - 1)
lengths = st.sampled_from([1, 2, 3, 40, 512, 700, 1024])
regions = st.integers(0, len(BASES) - 1)
prots = st.sampled_from([0, 1, 3, 5, 7])
steps = st.one_of(
    st.tuples(st.just("access"), regions, pages, st.integers(0, 2), st.integers(1, 6)),
    st.tuples(st.just("access"), regions, pages, st.integers(0, 2), st.integers(1, 6)),
    st.tuples(st.just("straddle"), regions, pages, st.integers(0, 1)),
    st.tuples(st.just("kernel"), pages, st.integers(0, 2)),
    st.tuples(st.just("map"), regions, pages, lengths, prots, st.integers(0, 2)),
    st.tuples(st.just("unmap"), regions, pages, lengths),
    st.tuples(st.just("protect"), regions, pages, lengths, prots),
    st.tuples(st.just("fork")),
    st.tuples(st.just("switch"), st.integers(0, 7)),
    st.tuples(st.just("exit"), st.integers(0, 7)),
    st.tuples(st.just("exec")),
    st.tuples(st.just("brk"), st.integers(0, 40)),
    st.tuples(st.just("reclaim"), st.integers(0, 1 << 20)),
)


def machines(config: Config, **changes: object) -> list[Simulator]:
    """Native, shadow under both policies, nested, Xen PV with each way to write a gPTE, QEMU,
    PVM with and without its prefault."""
    return [
        build("native", SMALL, config),
        build("shadow", SMALL, replace(config, shadow_policy="unsync")),
        build("shadow", SMALL, replace(config, shadow_policy="trap")),
        build("nested", SMALL, config),
        *(build(f"paravirt:writes={how}", SMALL, config) for how in WRITES),
        build("softmmu:window=50", SMALL, config),
        build("pvm", SMALL, config),
        build("tpt", SMALL, config),
        build("hosted", SMALL, config),
        build("hosted:mmu=shadow", SMALL, config),
        build("pvm:prefault=off,policy=trap", SMALL, config),
    ]


CONFIGS = {
    "4k on 4k": Config(memory=BIG),
    "2m on 4k": Config(memory=BIG, page_size="2m"),
    "thp on 2m": Config(memory=BIG, host_memory=128 << 20, page_size="thp", host_page_size="2m"),
    "4k on 2m, flushes": Config(
        memory=BIG, host_memory=128 << 20, host_page_size="2m", pcid=False, vpid=False
    ),
    "five levels, no EPT A/D": Config(memory=BIG, levels=5, host_levels=5, ept_ad=False),
    "no walk caches": Config(memory=BIG, walk_caches=False),
    "reservations": Config(memory=BIG, guest_allocator="ptemagnet"),
}


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=1, max_size=40))
def test_invariants_hold_after_every_step(name: str, history: list[tuple]) -> None:
    guest = Guest(machines(CONFIGS[name]))
    for step in history:
        guest.play(step)
        for simulator in guest.simulators:
            check(simulator)
        compare_contents(guest.simulators)


ROOMY = 320 << 20

#: Techniques that are compared with bare metal each by itself, with what they need.
OTHERS = (
    "partition",
    "container",
    "flat-nested",
    "flattened",
    "flattened:sides=guest",
    "flattened:sides=host",
    "flattened:sides=native",
    "direct-segment",
    "direct-segment:mode=guest",
    "direct-segment:mode=vmm",
    "asap",
    "sagepte",
    "dmt:least=0",
    "dmt:pv=yes,least=0",
    "dmt:mode=native,least=0",
    "agile:interval=3,start=shadow",
    "agile:interval=40,start=shadow,dirty=exit,roots=0",
    "agile:interval=3,roots=1",
    "agile:switch=2",
    "agile:switch=4",
    "pom-tlb:entries=1024",
    "elastic-cuckoo",
    "elastic-cuckoo:sides=host",
    "elastic-cuckoo:sides=native",
    "elastic-cuckoo:ways=4,threshold=80,cwc=2",
    "binary-translation:traps=3,idle=2",
    "nested-on-nested",
    "nested-on-nested:sync=invept,l1=fresh",
    "nested-on-nested:mode=shadow-on-ept",
    "nested-on-nested:mode=pvm-on-ept",
    "rmm",
    "rmm:part=5",
)


@pytest.mark.parametrize("name", ["4k on 4k", "thp on 2m", "4k on 2m, flushes"])
@pytest.mark.parametrize("technique", OTHERS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=1, max_size=40))
def test_it_shows_the_guest_what_bare_metal_does(
    technique: str, name: str, history: list[tuple]
) -> None:
    config = CONFIGS[name]
    if technique.startswith(("flattened", "dmt")):  # room for tables
        config = replace(config, memory=ROOMY, host_memory=2 * ROOMY)
    guest = Guest([build(each, SMALL, config) for each in ("native", technique)])
    for step in history:
        guest.play(step)
        for simulator in guest.simulators:
            check(simulator)
        compare_contents(guest.simulators)


@pytest.mark.parametrize("name", ["4k on 4k", "thp on 2m", "4k on 2m, flushes"])
@pytest.mark.parametrize("arch", ["aarch64", "riscv64"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=1, max_size=40))
def test_other_architectures_show_the_guest_what_x86_does(
    arch: str, name: str, history: list[tuple]
) -> None:
    preset = replace(SMALL, arch=arch)
    there = [build(each, preset, CONFIGS[name]) for each in ("native", "shadow", "nested")]
    guest = Guest([build("native", SMALL, CONFIGS[name]), *there])
    for step in history:
        guest.play(step)
        for simulator in guest.simulators:
            check(simulator)
        compare_contents(guest.simulators)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=5, max_size=40))
def test_out_of_memory_is_one_sentence(history: list[tuple]) -> None:
    for technique in (
        "native", "shadow", "nested", "paravirt", "softmmu", "pvm", "tpt", "dmt:least=0",
    ):  # fmt: skip
        guest = Guest([build(technique, SMALL, Config(memory=1 << 20, page_size="2m"))])
        try:
            for step in history:
                guest.play(step)
                check(guest.simulators[0])
        except CheckFailed:
            raise
        except RunError as error:
            assert "memory is too small" in str(error)


# --- The checks can fail --------------------------------------------------------------


def test_same_input_same_result() -> None:
    trace = workloads.resolve("microchurn:heap=64K,arena=32K,work=100,accesses=20K")
    runs = [simulate.compare(trace, SMALL, Config(memory=BIG)) for _ in range(2)]
    assert runs[0] == runs[1]
