"""Bad input is one sentence and exit code 2."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from drivers.command_line import SMALL, check_error

from mmulab import workloads

BAD_TRACES = {
    "empty": (b"", "is empty"),
    "garbage": (bytes(range(256)) * 64, "not a trace in a known format"),
    "broken-line": (b" L 1000,8\n" * 12344 + b" L zzz,8\n", "line 12345: expected"),
    "truncated.gz": (gzip.compress(b" L 1000,8\n" * 5000)[:-30], "truncated"),
    "non-canonical": (b" L 1000,8\n L 8000000000000000,8\n", "line 2: address not canonical"),
}


@pytest.mark.parametrize("name", BAD_TRACES)
def test_bad_trace(mmulab, tmp_path: Path, name: str) -> None:  # type: ignore
    data, expected = BAD_TRACES[name]
    path = tmp_path / name
    path.write_bytes(data)
    result = mmulab("compare", path, "--json", tmp_path / "out.json")
    check_error(result, 2, expected)
    assert str(path) in result.err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nothing.trace",), "nothing.trace: no such file"),
        ((SMALL, "--preset", "haswel"), "did you mean 'haswell'"),
        ((SMALL, "--techniques", "shadov"), "did you mean 'shadow'"),
        ((SMALL, "--techniques", ","), "no technique"),
        ((SMALL, "--set", "cost.vm_exi=3"), "did you mean 'cost.vm_exit'"),
        ((SMALL, "--set", "cost.vm_exit"), "expected KEY=VALUE"),
        ((SMALL, "--page-size", "3m"), "unknown page size '3m'"),
        ((SMALL, "--host-page-size", "thp"), "unknown host page size"),
        ((SMALL, "--page-size", "2m", "--memory", "1k"), "expected 1 MiB to 4 TiB"),
        ((SMALL, "--plot", "no/such/dir/a.svg"), "does not exist"),
        ((SMALL, "--plot", "a.gif"), "unknown format '.gif'"),
        ((SMALL, "--json", "no/such/dir/a.json"), "does not exist"),
        ((SMALL, "--warmup", "20K"), "leaves nothing"),
        ((SMALL, "--warmup", "x"), "expected a whole number"),
        ((workloads.bundled(), "--format", "lacky"), "did you mean 'lackey'"),
        ((SMALL, "--config", "none.toml"), "none.toml"),
        (("gups:size=1Q",), "expected a size in bytes"),
    ],
)
def test_bad_option(mmulab, arguments: tuple, expected: str) -> None:  # type: ignore
    check_error(mmulab("compare", *arguments), 2, expected)


def test_sets_must_be_a_power_of_two(mmulab) -> None:  # type: ignore
    from mmulab.mmu import presets

    name = next(t.name for t in presets.load("skylake-sp").tlbs if t.level == 2)
    result = mmulab("compare", SMALL, "--set", f"tlb.{name}.sets=100")
    check_error(result, 2, "100 sets; the index needs a power of two")


@pytest.mark.parametrize("memory", ["--memory", "--host-memory"])
def test_memory_too_small_for_the_run(mmulab, memory: str) -> None:  # type: ignore
    big = "gups:size=8M,accesses=20K"
    result = mmulab("compare", big, "--memory", "64M", memory, "4M")
    check_error(result, 1, "memory is too small")


def test_unknown_key_in_a_config_file(mmulab, tmp_path: Path) -> None:  # type: ignore
    config = tmp_path / "run.toml"
    config.write_text('presett = "haswell"\n')
    check_error(mmulab("compare", "--config", config), 2, "did you mean 'preset'")
    config.write_text("preset = haswell\n")
    check_error(mmulab("compare", "--config", config), 2, "not TOML")
