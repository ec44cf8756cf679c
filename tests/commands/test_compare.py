"""`mmulab compare`: its tables, files and figures."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from drivers.command_line import SMALL
from drivers.results import unmade

from mmulab.mmu import presets


def test_compare_prints_a_table_for_each_trace(mmulab) -> None:  # type: ignore
    result = mmulab("compare", SMALL, "scan:size=1M,accesses=10K")
    assert result.code == 0
    assert result.out.count("cycles per access  ") == 2
    for word in ("native", "shadow", "nested", "20,000 accesses", "seed 1", presets.DEFAULT):
        assert word in result.out


def test_compare_of_the_bundled_trace_is_the_default(mmulab) -> None:  # type: ignore
    result = mmulab("compare", "--techniques", "native")
    assert result.code == 0
    assert "1,500,000 accesses" in result.out


def test_columns_are_as_wide_as_the_names_of_techniques(mmulab) -> None:  # type: ignore
    long = ("shadow:policy=trap,host_page_size=2m", "nested:host_page_size=2m")
    out = mmulab("compare", SMALL, "--techniques", ",".join(long)).out
    lines = out.splitlines()
    head = next(number for number, line in enumerate(lines) if line.split() == ["shadow", "nested"])
    # Names, their parameters below them, and numbers end in the same places; bars begin in one.
    ends = [[match.end() for match in re.finditer(r"\S+(?=  |$)", line)] for line in lines]
    assert lines[head + 1].split() == ["policy=trap", "host_page_size=2m"]
    assert lines[head + 3].startswith("cycles per access")
    assert ends[head] == ends[head + 1] == ends[head + 3][-2:]
    assert f"\n{long[0]} " in out and f"\n{long[1]:>{len(long[0])}} " in out


def test_json_and_csv_say_the_same(mmulab, tmp_path: Path) -> None:  # type: ignore
    result = mmulab("compare", SMALL, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv")
    assert result.code == 0
    (comparison,) = json.loads((tmp_path / "a.json").read_text())
    assert comparison["schema"] == "mmulab.comparison"
    assert comparison["schema_version"] == 2
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert len(rows) == len(comparison["results"]) == 4
    for row, result in zip(rows, comparison["results"], strict=True):
        assert row["trace"] == comparison["trace"]
        assert row["technique"] == result["technique"]
        assert int(row["walks"]) == result["counts"]["walks"]
        assert int(row["exits"]) == sum(result["exits"].values())
        assert float(row["cycles.work.high"]) == result["cycles"]["work"]["high"]
        for end, part in result["overlap"]["walks"].items():
            assert float(row[f"overlap.walks.{end}"]) == part
        nested = [each for each in result["references"] if each["dimension"] == "nested"]
        assert int(row["references.nested"]) == sum(sum(each["served_by"]) for each in nested)


def test_output_is_the_same_byte_for_byte(mmulab, tmp_path: Path) -> None:  # type: ignore
    names = ("a", "b")
    for name in names:
        mmulab("compare", SMALL, "--json", tmp_path / f"{name}.json",
               "--plot", tmp_path / f"{name}.svg")  # fmt: skip
    one, two = ((tmp_path / f"{name}.svg").read_bytes() for name in names)
    assert one == two
    one, two = (unmade((tmp_path / f"{name}.json").read_text()) for name in names)
    assert one == two


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_plots(mmulab, tmp_path: Path, suffix: str) -> None:  # type: ignore
    magic = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix]
    for command in (("compare", SMALL), ("walk", "0x7f1234567000")):
        path = tmp_path / f"{command[0]}.{suffix}"
        assert mmulab(*command, "--plot", path).code == 0
        assert path.read_bytes().startswith(magic)


def test_config_file_says_what_options_say(mmulab, tmp_path: Path) -> None:  # type: ignore
    config = tmp_path / "run.toml"
    config.write_text(
        f'traces = ["{SMALL}"]\ntechniques = ["nested"]\npreset = "haswell"\n'
        'page-size = "2m"\nwarmup = 1000\n[set.cost]\nvm_exit = 7\n'
    )
    from_file = mmulab("compare", "--config", config, "--json", "-")
    options = mmulab("compare", SMALL, "--techniques", "nested", "--preset", "haswell",
                     "--page-size", "2m", "--warmup", 1000, "--set", "cost.vm_exit=7",
                     "--json", "-")  # fmt: skip
    assert from_file.code == 0
    assert unmade(from_file.out) == unmade(options.out)
    overridden = mmulab("compare", "--config", config, "--preset", "zen-4", "--json", "-")
    assert json.loads(overridden.out)[0]["preset"] == "zen-4"


def test_references_are_printed_by_level(mmulab) -> None:  # type: ignore
    """A walk of four by four levels makes 24, each once; of native tables, 4."""
    result = mmulab("compare", "scan:size=4M,stride=4K,accesses=4K", "--warmup", "2K",
                    "--no-walk-caches", "--techniques", "native,nested",
                    "--references", "--preset", "opteron-2008")  # fmt: skip
    assert result.code == 0
    native, nested = result.out.split("references a walk")[1:]
    assert re.search(r"^gL1 +1\.000 +1\.000$", native, re.M)
    assert re.search(r"^all +4\.000 +4\.000$", native, re.M)
    for table in ("gL4", "gL3", "gL2", "gL1"):
        assert re.search(rf"^{table}( +1\.000){{5}} +5\.000$", nested, re.M)
    assert re.search(r"^page( +1\.000){4} +- +4\.000$", nested, re.M)
    assert re.search(r"^all( +5\.000){4} +4\.000 +24\.000$", nested, re.M)


@pytest.mark.parametrize(
    ("options", "techniques"),
    [
        ((), ["native", "shadow", "nested", "nested:host_page_size=2m"]),
        (("--host-page-size", "2m"), ["native", "shadow", "nested"]),  # both are the same
        (
            ("--host-page-size", "1g"),
            ["native", "shadow", "nested", "nested:host_page_size=2m"],
        ),
    ],
)
def test_nested_paging_is_shown_on_two_sizes_of_host_pages(  # type: ignore
    mmulab, options: tuple[str, ...], techniques: list[str]
) -> None:
    (comparison,) = json.loads(mmulab("compare", SMALL, *options, "--json", "-").out)
    assert [each["technique"] for each in comparison["results"]] == techniques


def test_the_same_technique_twice_is_refused_where_it_is_asked_for(mmulab) -> None:  # type: ignore
    twice = mmulab("compare", SMALL, "--host-page-size", "2m",
                   "--techniques", "nested,nested:host_page_size=2m")  # fmt: skip
    assert twice.code == 2 and "named twice" in twice.err
