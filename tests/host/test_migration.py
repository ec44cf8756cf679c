"""Live migration between two hosts, against what it must cost by closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.moves import Moves, writer

from mmulab.mmu.host.deltas import HEADER, Deltas
from mmulab.mmu.host.migration_report import PAGE_ON_WIRE, ZERO_ON_WIRE, Report

TABLES = 6  # gPT pages of a small process that a walk may dirty, at most


def migrated(**settings: object) -> tuple[Moves, Report]:
    """A VM that stores to its pages in turn, on its way from one host to another."""
    moves = Moves(**settings)
    report = moves.migrate()
    moves.run()
    return moves, report


@pytest.mark.parametrize(
    ("technique", "log"),
    [("nested", "write-protection"), ("nested", "d-bits"), ("nested", "pml"),
     ("flat-nested", "d-bits"), ("shadow", "write-protection")],
)  # fmt: skip
def test_nothing_is_lost_on_the_way(technique: str, log: str) -> None:
    """Content, frames and translations hold after every turn, on both hosts; the source's blocks
    are whole again."""
    moves, report = migrated(technique=technique, log=log, check=True, downtime=300e-6)
    assert report.outcome == "finished" and report.why == "downtime"
    source, target = moves.systems
    assert source.free == source.total
    assert target.guest("vm").accesses == moves.length
    assert report.sent > moves.pages and report.twice > 0


@pytest.mark.parametrize("log", ["write-protection", "d-bits", "pml"])
def test_each_round_sends_what_was_stored_to_in_the_one_before(log: str) -> None:
    """The VM stores to a page an access, one after another: in a round it dirties as many pages
    as it makes accesses, until it has been round all of its working set."""
    moves, report = migrated(log=log, downtime=1e-4, rule="xen", rounds=8)
    first, *others = report.rounds
    assert first.sent == moves.held
    for earlier, later in zip(report.rounds, others, strict=False):
        written = min(moves.pages, earlier.accesses)
        if later is report.rounds[-1]:  # with what has been made since
            assert written <= later.sent <= written + TABLES
        else:
            assert written <= earlier.dirtied <= written + TABLES
            assert later.sent == earlier.dirtied
    assert report.sent == sum(each.sent for each in report.rounds)
    assert report.twice == report.sent - moves.held


def test_rounds_shrink_by_dirty_rate_over_bandwidth() -> None:
    """Round i sends at most min(W, M (D/B)^i), with D the highest rate of a round; latency, and a
    turn of the VM that a round is late by, come on top."""
    moves, report = migrated(bandwidth=8e9, latency=0.0, quantum=100, pause=40, downtime=5e-7)
    rounds = [each for each in report.rounds if each.accesses]
    assert len(rounds) > 3
    rate = max(each.dirtied / each.seconds for each in rounds)
    late = max(each.seconds - each.sent * PAGE_ON_WIRE / 8e9 for each in rounds)
    most = moves.held
    for each in rounds[1:]:
        most = min(moves.pages + TABLES, (most * PAGE_ON_WIRE / 8e9 + late) * rate)
        assert each.sent <= most + 1


def test_what_is_dirtied_faster_than_it_is_sent_settles_at_the_working_set() -> None:
    """It converges only where W / B is within the limit; else another rule ends it, by name."""
    slow = {"bandwidth": 1e8, "rule": "qemu", "length": 1_500_000}
    moves, report = migrated(**slow, downtime=0.004)
    assert all(each.sent <= moves.pages + TABLES for each in report.rounds[1:])
    assert report.outcome == "under way" or report.rounds[-2].accesses < moves.pages
    moves, report = migrated(**slow, downtime=0.05)
    assert report.why == "downtime" and report.outcome == "finished"
    last = report.rounds[-1]
    assert last.sent >= moves.pages
    assert report.downtime == pytest.approx(last.sent * PAGE_ON_WIRE / 1e8 + moves.latency)


@pytest.mark.parametrize(
    ("rule", "settings", "why"),
    [("xen", {"rounds": 4}, "rounds"), ("xen", {"factor": 1.5}, "pages sent"),
     ("xen", {"least": 100_000}, "few pages left"),
     ("clark", {"bandwidth": 1.01e9, "slowest": 1e9, "latency": 0.0}, "rate")],
)  # fmt: skip
def test_the_rule_that_acts_is_named(rule: str, settings: dict, why: str) -> None:
    settings = {"bandwidth": 2e9, "length": 1_500_000, **settings}
    moves, report = migrated(rule=rule, **settings)
    assert report.why == why and report.outcome == "finished"
    assert report.downtime == pytest.approx(
        report.rounds[-1].sent * PAGE_ON_WIRE / settings["bandwidth"] + moves.latency
    )


def test_exits_of_each_way_of_logging() -> None:
    """A round in which N pages are stored to, and nothing else exits: write protection exits once a
    page, D bits never, PML ceil(N / 512) - 1 times."""
    for log, expected in (("write-protection", 700), ("d-bits", 0), ("pml", 1)):
        moves = Moves(log=log, pages=700)
        exits, dirty = moves.round_of(700)
        assert expected <= exits <= expected + (TABLES if log == "write-protection" else 0), log
        assert 700 <= dirty <= 700 + TABLES
    moves = Moves(log="pml", pages=2000)
    exits, dirty = moves.round_of(2000)
    assert exits == -(-dirty // 512) - 1 == 3


def test_d_bits_are_read_by_a_scan_of_the_leaves() -> None:
    moves, report = migrated(log="d-bits")
    assert report.leaves >= moves.held * (len(report.rounds) - 1)
    _, other = migrated(log="pml")
    assert other.leaves == 0


@pytest.mark.parametrize("technique", ["nested", "shadow"])
@pytest.mark.parametrize("push", [True, False])
def test_post_copy_sends_each_page_once(technique: str, push: bool) -> None:
    moves, report = migrated(technique=technique, method="post-copy", push=push, check=True)
    assert report.outcome == "finished"
    assert report.sent == moves.held and report.twice == 0
    tables = int(moves.systems[1].guest("vm").vm.record[0]["tables"])
    assert report.faults + report.pushed == moves.held - tables
    assert report.faults > 0
    assert int(moves.systems[1].host.remote.record[0]["reads"]) == report.faults + report.pushed
    assert moves.systems[0].free == moves.systems[0].total


def test_post_copy_stands_still_for_its_tables_alone() -> None:
    moves, report = migrated(method="post-copy")
    _, other = migrated(method="pre-copy", downtime=1.0)
    assert report.downtime < 10 * PAGE_ON_WIRE / moves.bandwidth + moves.latency
    assert other.downtime > 0


@pytest.mark.parametrize("technique", ["nested", "shadow"])
def test_a_hybrid_leaves_behind_what_was_stored_to_in_its_rounds(technique: str) -> None:
    moves, report = migrated(
        technique=technique, method="hybrid", passes=2, downtime=0, bandwidth=1e10, check=True
    )
    assert (report.outcome, report.why, len(report.rounds)) == ("finished", "post-copy", 2)
    first, second = report.rounds
    assert report.sent == first.sent + second.sent + second.dirtied
    assert report.twice == second.sent + second.dirtied
    assert 0 < report.faults + report.pushed <= second.dirtied
    assert moves.systems[0].free == moves.systems[0].total


def test_a_hybrid_that_can_end_by_its_rule_does() -> None:
    _, report = migrated(method="hybrid", passes=9, downtime=1.0)
    assert report.why == "downtime" and report.faults == report.pushed == 0


def test_a_vm_is_throttled_where_rounds_do_not_get_shorter() -> None:
    """Twice more than half as much dirtied as sent: 20 %, then 10 % more each time (QEMU)."""
    slow = {
        "pages": 60, "pause": 4000, "length": 6_000_000, "quantum": 2000,
        "bandwidth": 5e8, "downtime": 5e-5,
    }  # fmt: skip
    _, plain = migrated(**slow)
    moves, report = migrated(converge=True, **slow)
    # As long as there is work, all pages are stored to in each round.
    assert len({each.sent for each in plain.rounds[:-2]}) == 1 and plain.throttled == 0
    assert report.why == "downtime" and len(report.rounds) < len(plain.rounds)
    parts = [round(each.throttle, 2) for each in report.rounds[:-1]]
    assert parts[:12] == [0, 0, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5, 0.6, 0.6]
    sent = [each.sent for each in report.rounds[4:]]
    assert sent == sorted(sent, reverse=True)
    free, held = report.rounds[1], report.rounds[3]
    assert held.accesses / free.accesses == pytest.approx(1 - held.throttle, abs=0.06)
    assert report.throttled > 0 == moves.systems[1].guest("vm").throttle


def test_pages_that_go_again_go_as_differences() -> None:
    """The first time that they go again, they go into the cache."""
    wanted = {"bandwidth": 5e8, "rule": "xen", "rounds": 5, "factor": 100, "length": 6_000_000}
    _, plain = migrated(**wanted)
    _, report = migrated(delta_cache=64 << 20, changed=0.25, **wanted)
    assert plain.deltas == 0
    again = [each.sent for each in report.rounds[2:]]
    assert report.deltas == sum(again) > 0
    whole = report.sent - report.deltas
    on_wire = whole * PAGE_ON_WIRE + report.deltas * (HEADER + 1024)
    assert report.bytes == on_wire + report.zeros * ZERO_ON_WIRE


def test_a_cache_that_is_too_small_finds_less() -> None:
    cache = Deltas(4 * 4096 + 100, 0.5)
    pages = np.arange(6)
    assert cache.send(pages) == 0
    assert cache.send(pages) == 2  # 2 and 3: 0 and 1 had to give way to 4 and 5
    assert Deltas(0, 0.5).send(pages) == 0


def test_several_channels_are_as_fast_as_the_network_at_most() -> None:
    _, one = migrated(channels=1, channel=1e8, bandwidth=1e9)
    _, four = migrated(channels=4, channel=1e8, bandwidth=1e9)
    _, many = migrated(channels=40, channel=1e8, bandwidth=1e9)
    _, plain = migrated(bandwidth=1e9)
    first = [each.rounds[0].seconds - 20e-6 for each in (one, four)]
    assert first[0] == pytest.approx(4 * first[1])
    assert many == plain


def test_a_failure_half_way_leaves_the_source_running() -> None:
    """All of the work is done where it began, and the other host has nothing left."""
    moves, report = migrated(fails=2e-3, bandwidth=1e8, check=True)
    source, target = moves.systems
    assert report.outcome == "failed"
    assert target.free == target.total
    assert source.guest("vm").accesses == moves.length
    assert source.where("vm") is source


def test_pages_of_zeros_are_told_of_and_not_sent() -> None:
    moves, report = migrated(zeros=True, untouched=200)
    _, other = migrated(zeros=False, untouched=200)
    assert report.zeros >= 200 and other.zeros == 0
    assert other.rounds[0].sent == report.rounds[0].sent + report.rounds[0].zeros


def test_a_run_is_the_same_each_time() -> None:
    one, other = (migrated()[1] for _ in range(2))
    assert one == other and replace(one) == one


def test_the_writer_writes_a_page_an_access() -> None:
    chunk = writer(10, 25)
    assert len(np.unique(chunk.address >> 12)) == 10 and len(chunk.address) == 25


def test_a_vm_that_is_switched_off_on_its_way_is_gone_on_both_hosts() -> None:
    moves = Moves(check=True, bandwidth=1e8)
    report = moves.migrate()
    source, target = moves.systems
    source.guest("vm").switch_off()
    moves.run()
    assert report.outcome == "cancelled"
    assert source.free == source.total and target.free == target.total
