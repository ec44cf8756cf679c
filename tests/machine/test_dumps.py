"""Page tables that were dumped from a machine: what runs over them, and what no dump is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drivers.command_line import check_error
from drivers.dumped import (
    DATA,
    PAGES,
    REGION,
    guest_lines,
    host_lines,
    write,
    write_touches,
)

import mmulab
from mmulab.mmu.errors import InputError
from mmulab.mmu.machine import dumps

TECHNIQUES = (
    "native,shadow,nested,flat-nested,sagepte,sagepte:entry=8,dmt,dmt:pv=yes,dmt:mode=native"
)


def files(folder: Path, lines: list[str] | None = None, scattered: bool = False) -> dict[str, str]:
    """Options that name both dumps."""
    lines = guest_lines() if lines is None else lines
    return {
        "guest_tables": str(write(folder / "guest", lines)),
        "host_tables": str(write(folder / "host", host_lines(lines, scattered))),
    }


def compared(folder: Path, techniques: str = TECHNIQUES, **options: object) -> mmulab.Comparison:
    dumped = {} if "guest_tables" in options else files(folder)
    options = {**dumped, "walk_caches": False, "memory": "2G", **options}
    return mmulab.compare(
        write_touches(folder / "touches"),
        format="plain",
        techniques=techniques,
        preset="dmt-artifact",
        **options,
    )


def a_walk(result: mmulab.TechniqueResult) -> float:
    """References."""
    references = sum(sum(each["served_by"]) for each in result.references)
    return references / result.counts["walks"]


def test_a_region_touched_three_times_walks_over_the_dumped_tables(mmulab, tmp_path) -> None:  # type: ignore
    """No page is in a TLB when it is touched again: each is walked for three times, and nothing
    faults. Latencies are printed by reference."""
    options = [f"--{name.replace('_', '-')}={path}" for name, path in files(tmp_path).items()]
    result = mmulab(
        "compare", write_touches(tmp_path / "touches"), "--format", "plain", "--preset",
        "dmt-artifact", "--techniques", "nested,sagepte,dmt", "--walk-latency", *options,
    )  # fmt: skip
    assert result.code == 0
    for name in ("nested", "sagepte", "dmt"):
        assert f"\n{name}: cycles a walk by reference, of {3 * PAGES:,} walks\n" in result.out
    nested, sagepte, dmt = result.out.split(" cycles a walk by reference")[1:]
    # The last host walk asks no walk cache: its upper levels are in L1D, always.
    assert nested.split("UD ")[1].split()[:2] == ["4.000", "4.000"]
    assert "UD" not in sagepte
    # Both leaves and the entry that locates the guest's: no other reference.
    assert [line.split()[0] for line in dmt.splitlines()[2:5]] == ["G4", "UD", "all"]


def test_walks_read_what_a_cold_walk_of_the_technique_does(tmp_path: Path) -> None:
    comparison = compared(tmp_path, check=True)
    expected = {
        "native": 4, "nested": 24, "flat-nested": 9, "sagepte": 20,
        "sagepte:entry=8": 20, "dmt": 3, "dmt:pv=yes": 2, "dmt:mode=native": 1,
    }  # fmt: skip
    for name, references in expected.items():
        assert a_walk(comparison[name]) == references, name
    for each in comparison.results:
        assert each.counts["guest_faults"] == each.counts["pte_writes"] == 0
        assert sum(each.exits.values()) == (PAGES if each.technique == "shadow" else 0)


def test_latency_by_reference_is_what_serves_it(tmp_path: Path) -> None:
    """Without the program's data, and warm: the leaves of each dimension are as many lines as L1D
    has, so that none is there when it comes again; the upper levels stay in L1D."""
    warm = compared(tmp_path, "nested", caches="off", warmup=2 * PAGES)["nested"]
    by_site = {each["site"]: each["served_by"] for each in warm.references}
    walks = warm.counts["walks"]
    assert walks == 2 * PAGES
    for site, served in by_site.items():
        assert sum(served) == walks
        if site not in ("gL1", "nL1 of the page"):
            assert served[0] >= walks * 0.95, site
    # Of the eight entries of a line the first is not in L1D, but in L2.
    for site in ("gL1", "nL1 of the page"):
        l1, l2, llc, memory = by_site[site]
        assert memory == llc == 0 and walks * 0.11 < l2 < walks * 0.15 and l1 + l2 == walks


def test_dmt_has_registers_for_tables_in_one_piece_alone(tmp_path: Path) -> None:
    lines = guest_lines()
    # The fifth table lies elsewhere: two runs, of 4 and 3 tables, and one of its own.
    moved = [line.replace(",1104,", ",2000,") for line in lines]
    comparison = compared(tmp_path, "dmt", **files(tmp_path, moved))
    assert comparison["dmt"].events["teas"] == 0  # what loading does is not counted
    assert a_walk(comparison["dmt"]) == 3
    # No two tables side by side: 16 registers serve 16 of them.
    many = [
        f"{REGION + table * (2 << 20):x},1000,1001,1003,{0x1100 + 2 * table:x},{DATA + table:x}"
        for table in range(32)
    ]
    touches = tmp_path / "many"
    touches.write_text("".join(f"{REGION + table * (2 << 20):#x} R\n" for table in range(32)))
    comparison = mmulab.compare(
        touches, format="plain", techniques="dmt", preset="dmt-artifact",
        walk_caches=False, memory="2G", **files(tmp_path, many),
    )  # fmt: skip
    assert a_walk(comparison["dmt"]) == (16 * 3 + 16 * 24) / 32


def test_pvdmt_needs_the_areas_in_one_piece_of_the_host(tmp_path: Path) -> None:
    scattered = files(tmp_path, scattered=True)
    assert a_walk(compared(tmp_path, "dmt:pv=yes", **scattered)["dmt"]) == 3


def test_memory_that_no_line_maps_is_the_guest_kernels(tmp_path: Path) -> None:
    touches = tmp_path / "elsewhere"
    touches.write_text("0x7f0000000000 W\n0x100000000 R\n")
    comparison = mmulab.compare(
        touches, format="plain", techniques="nested", preset="dmt-artifact",
        memory="2G", check=True, **files(tmp_path),
    )  # fmt: skip
    assert comparison["nested"].counts["guest_faults"] == 1


def test_a_frame_of_two_lines_is_copied_on_write(tmp_path: Path) -> None:
    lines = guest_lines(2)
    lines[1] = lines[1].rpartition(",")[0] + f",{DATA:x}"
    touches = write_touches(tmp_path / "two", times=1, pages=2)
    comparison = mmulab.compare(
        touches, format="plain", techniques="native,nested", preset="dmt-artifact",
        memory="2G", check=True, **files(tmp_path, lines),
    )  # fmt: skip
    assert comparison["nested"].counts["cow_breaks"] == 2  # the second: it is its only user


def test_a_result_can_be_made_again(tmp_path: Path) -> None:
    comparison = compared(tmp_path, "nested")
    given = comparison.input
    assert given["settings"]["guest_tables"] == str(tmp_path / "guest")
    assert given["files"][str(tmp_path / "guest")] is not None


def test_host_frames_are_renumbered_so_that_runs_stay_runs() -> None:
    frame = np.zeros((4, 5), np.int64)
    frame[:, 4] = 7, 0x900, 8, 9
    host = dumps.Dump("host", np.arange(4), frame, np.arange(2, 6))
    guest = dumps.Dump("guest", np.arange(1), np.zeros((1, 5), np.int64), np.arange(2, 3))
    gfn, place = dumps.frames_of(guest, host)
    assert gfn.tolist() == [0, 1, 2, 3] and place.tolist() == [0, 4, 1, 2]


LINE = "100000000,1000,1001,1003,1100,40000"
BAD = {
    "empty": ("", "empty"),
    "no count": (LINE + "\n", "line 1: '100000000,1000,1001,1003,1100,40000': expected the number"),
    "a count of nothing": ("0\n", "line 1: '0': expected the number"),
    "fewer": (f"2\n{LINE}\n", "1 lines of tables; line 1 says 2"),
    "more": (f"1\n{LINE}\n{LINE}\n", "line 3: a line more than the 1 that line 1 says"),
    "a word": (f"2\n{LINE}\n100001000,NAN,1001,1003,1100,40001\n", "line 3: expected VA,PE1"),
    "0x": (f"1\n0x{LINE}\n", "line 2: expected VA,PE1,PE2,PE3,PE4,PA, hexadecimal without 0x"),
    "few columns": ("1\n100000000,1000,1001\n", "line 2: expected VA,PE1"),
    "many columns": (f"1\n{LINE},1\n", "line 2: expected VA,PE1"),
    "not aligned": (f"1\n{LINE.replace('000,1000', '010,1000')}\n", "line 2: expected a VA"),
    "kernel": ("1\nffff800000000000,1,2,3,4,5\n", "line 2: expected VA,PE1"),
    "a frame beyond": (f"1\n{LINE}000000\n", "line 2: expected frames below 4 TiB"),
    "twice": (f"2\n{LINE}\n{LINE}\n", "line 3: the VA is another line's, too"),
    "two roots": (
        f"2\n{LINE}\n100001000,1009,1001,1003,1100,40001\n",
        "line 3: PE1 is another table than that of the addresses beside it",
    ),
    "a table of two regions": (
        f"2\n{LINE}\n100200000,1000,1001,1003,1100,40001\n",
        "line 3: the table of PE4 is that of other addresses, too",
    ),
    "a table of two levels": (
        f"2\n{LINE}\n100200000,1000,1001,1003,1001,40001\n",
        "line 2: the table of PE2 is one of another level, too",
    ),
    "a page that is a table": (
        "1\n100000000,1000,1001,1003,1100,1001\n",
        "line 2: PA is a table's frame",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_dump_is_one_sentence(mmulab, tmp_path: Path, name: str) -> None:  # type: ignore
    text, expected = BAD[name]
    (tmp_path / "bad").write_text(text)
    touches = write_touches(tmp_path / "touches", 1, 1)
    result = mmulab("compare", touches, "--format", "plain", "--preset", "skylake-sp",
                    "--techniques", "nested", "--guest-tables", tmp_path / "bad")  # fmt: skip
    check_error(result, 2, expected)
    assert str(tmp_path / "bad") in result.err


def test_a_line_may_end_as_on_windows(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(f"1\r\n{LINE}\r\n".encode())
    assert dumps.read(str(tmp_path / "dump"), "VA").frame.tolist() == [
        [0x1000, 0x1001, 0x1003, 0x1100, 0x40000]
    ]


def test_the_host_must_have_all_frames_of_the_guest(tmp_path: Path) -> None:
    lines = guest_lines(600)
    given = files(tmp_path, lines)
    write(tmp_path / "host", host_lines(lines[:590]))
    with pytest.raises(InputError, match="guest, line 592: PA is not in .*host"):
        compared(tmp_path, "nested", **given)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"guest_tables": ""}, "--host-tables needs --guest-tables"),
        ({"page_size": "2m"}, "dumps are of 4 levels and 4k pages"),
        ({"guest_tables": "nowhere"}, "nowhere: No such file"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: dict, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        compared(tmp_path, "nested", **{**files(tmp_path), **options})


def test_a_technique_with_tables_of_its_own_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="technique paravirt: .*cannot run over dumped"):
        compared(tmp_path, "paravirt")
