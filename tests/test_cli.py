"""The command line: what users type, what they see, and the exit code."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmulab import workloads
from mmulab.commands import main as cli

BAD_TRACES = {
    "empty": (b"", "is empty"),
    "garbage": (bytes(range(256)) * 64, "not a trace in a known format"),
    "broken-line": (b" L 1000,8\n" * 12344 + b" L zzz,8\n", "line 12345: expected"),
    "truncated.gz": (gzip.compress(b" L 1000,8\n" * 5000)[:-30], "truncated"),
    "non-canonical": (b" L 1000,8\n L 8000000000000000,8\n", "line 2: address not canonical"),
}


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def mmulab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):  # type: ignore
    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["mmulab", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        code = exit.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


def check_error(result: Result, code: int, expected: str) -> None:
    lines = [line for line in result.err.splitlines() if not line.startswith("compiling")]
    assert result.code == code
    assert len(lines) == 1 and lines[0].startswith("mmulab: ")
    assert expected in lines[0]
    assert "Traceback" not in result.err


SMALL = "gups:size=1M,accesses=20K"


def test_compare_prints_a_table_for_each_trace(mmulab) -> None:  # type: ignore
    result = mmulab("compare", SMALL, "scan:size=1M,accesses=10K")
    assert result.code == 0
    assert result.out.count("cycles per access  ") == 2
    for word in ("native", "shadow", "nested", "20,000 accesses", "seed 1", "skylake-sp"):
        assert word in result.out


def test_only_the_first_run_compiles(mmulab) -> None:  # type: ignore
    mmulab("compare", SMALL)
    assert mmulab("compare", SMALL).err == ""


def test_compare_of_the_bundled_trace_is_the_default(mmulab) -> None:  # type: ignore
    result = mmulab("compare", "--techniques", "native")
    assert result.code == 0
    assert "1,500,000 accesses" in result.out


def test_json_and_csv_say_the_same(mmulab, tmp_path: Path) -> None:  # type: ignore
    result = mmulab("compare", SMALL, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv")
    assert result.code == 0
    (comparison,) = json.loads((tmp_path / "a.json").read_text())
    assert comparison["schema"] == "mmulab.comparison"
    assert comparison["schema_version"] == 1
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert len(rows) == len(comparison["results"]) == 3
    for row, result in zip(rows, comparison["results"], strict=True):
        assert row["trace"] == comparison["trace"]
        assert row["technique"] == result["technique"]
        assert int(row["counts.walks"]) == result["counts"]["walks"]
        assert int(row["counts.exits.invlpg"]) == result["counts"]["exits"]["invlpg"]
        assert float(row["cycles.work"]) == result["cycles"]["work"]
        assert int(row["references.nested.0"]) == result["references"]["nested"][0]


def test_output_is_the_same_byte_for_byte(mmulab, tmp_path: Path) -> None:  # type: ignore
    names = ("a", "b")
    for name in names:
        mmulab("compare", SMALL, "--json", tmp_path / f"{name}.json",
               "--plot", tmp_path / f"{name}.svg")  # fmt: skip
    for suffix in (".json", ".svg"):
        one, two = ((tmp_path / (name + suffix)).read_bytes() for name in names)
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
    assert json.loads(from_file.out) == json.loads(options.out)
    overridden = mmulab("compare", "--config", config, "--preset", "zen-4", "--json", "-")
    assert json.loads(overridden.out)[0]["preset"] == "zen-4"


def test_walk_prints_24_references_for_a_cold_nested_walk(mmulab) -> None:  # type: ignore
    result = mmulab("walk", "0x7f1234567000", "--techniques", "nested")
    numbered = [line for line in result.out.splitlines() if line[:3].strip().isdigit()]
    assert result.code == 0
    assert len(numbered) == 24


@pytest.mark.parametrize("command", ["presets", "workloads"])
def test_listings(mmulab, command: str) -> None:  # type: ignore
    result = mmulab(command)
    assert result.code == 0 and len(result.out.splitlines()) > 5


def test_every_number_of_a_preset_is_listed_with_a_source(mmulab) -> None:  # type: ignore
    from mmulab.mmu import presets

    for name in presets.names():
        out = " ".join(mmulab("presets", name).out.split())
        preset = presets.load(name)
        for structure in (*preset.tlbs, *preset.walk_caches, *preset.caches):
            assert " ".join(structure.source.split()) in out
        for cited in preset.costs.values():
            assert " ".join(cited.source.split()) in out


@pytest.mark.parametrize("name", sorted(cli.cli.commands))
def test_each_command_has_help_and_is_in_the_readme(mmulab, name: str) -> None:  # type: ignore
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert mmulab(name, "--help").code == 0
    assert cli.cli.commands[name].help
    assert f"mmulab {name}" in readme


# --- Bad input ------------------------------------------------------------------


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


def test_interrupt_in_the_middle_of_a_run(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "mmulab", "compare",
         "gups:size=1G,accesses=100G", "--json", str(out)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(4)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    lines = [line for line in err.splitlines() if line and not line.startswith("compiling")]
    assert process.returncode == 1
    assert lines == ["mmulab: interrupted; nothing was written"]
    assert list(tmp_path.iterdir()) == []


def test_help_is_instant_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, mmulab.commands.main, mmulab.workloads, mmulab.plots, mmulab.mmu.presets\n"
        "heavy = {'numba', 'matplotlib', 'llvmlite'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_standard_input(tmp_path: Path) -> None:
    data = workloads.bundled().read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "mmulab", "compare", "-", "--techniques", "native"],
        input=data, capture_output=True, check=True,
    )  # fmt: skip
    assert b"standard input: 1,500,000 accesses" in done.stdout
