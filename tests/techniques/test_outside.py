"""Techniques from outside the package: files, and other packages' entry points."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from drivers import technique_files as files
from drivers.command_line import check_error

from mmulab import workloads
from mmulab.mmu import presets, simulate
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.report.results import Comparison, TechniqueResult
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import parse

EXAMPLE = Path(__file__).parents[2] / "docs" / "extending" / "fault_around.py"
CHURN = "microchurn:heap=64K,arena=32K,work=100,accesses=20K"


def compared(techniques: str, trace: str = CHURN, **options: object) -> Comparison:
    config = Config(**{"memory": 64 << 20, **options})  # type: ignore[arg-type]
    return simulate.compare(
        workloads.resolve(trace), presets.load("skylake-sp"), config, techniques, check=True
    )


def numbers(result: TechniqueResult) -> tuple[object, ...]:
    return result.counts, result.references, result.structures, result.cycles, result.frames


# --- They are as good as the package's own --------------------------------------------


@pytest.mark.parametrize("options", [{}, {"page_size": "2m", "host_page_size": "2m"}])
def test_a_copy_of_nested_is_nested(tmp_path: Path, options: dict[str, str]) -> None:
    name = files.write(tmp_path, "copy", files.copy_of("nested", "copy"))
    nested, copy = compared(f"nested,{name}", **options).results
    assert numbers(copy) == numbers(nested)
    assert nested.references_in("nested") > 0
    assert (copy.technique, copy.name) == (name, "copy")


@pytest.mark.parametrize("page_size", ["4k", "2m"])
@pytest.mark.parametrize("host_page_size", ["4k", "2m"])
@pytest.mark.parametrize("trace", [CHURN, "gups:size=4M,accesses=20K"])
def test_the_example_passes_its_checks(page_size: str, host_page_size: str, trace: str) -> None:
    nested, around = compared(
        f"nested,{EXAMPLE}:around=8", trace, page_size=page_size, host_page_size=host_page_size
    ).results
    assert around.counts["guest_faults"] == nested.counts["guest_faults"]
    exits = around.exits["ept_violation"], nested.exits["ept_violation"]
    if host_page_size == "4k":
        assert around.events["mapped_around"] > 0
        assert 8 * (exits[0] + 1) >= exits[1] > 4 * exits[0]  # one fell into the boot
    else:  # a large host page is mapped whole: its neighbours are there
        assert exits[0] == exits[1]
        assert around.events["mapped_around"] == 0


def test_the_example_that_maps_one_page_is_nested() -> None:
    nested, around = compared(f"nested,{EXAMPLE}:around=1").results
    assert around.events == {"mapped_around": 0}
    assert around.counts == nested.counts
    assert numbers(around)[1:] == numbers(nested)[1:]


def test_what_the_example_maps_is_charged(mmulab) -> None:  # type: ignore[no-untyped-def]
    arguments = ("compare", "gups:size=4M,accesses=5K", "--techniques", EXAMPLE, "--json", "-")
    free, dear = (
        result_of(mmulab(*arguments, "--set", f"cost.fault_around.mapped_around={cost}").out)
        for cost in (0, 1000)
    )
    mapped = dear["events"]["mapped_around"]
    assert mapped > 0
    spent = (each["cycles"]["exit_fault"]["likely"] for each in (dear, free))
    assert next(spent) - next(spent) == 1000 * mapped


def result_of(text: str) -> dict[str, Any]:
    ((result,),) = (comparison["results"] for comparison in json.loads(text))
    return result


def test_a_check_that_fails_ends_the_run(tmp_path: Path) -> None:
    broken = EXAMPLE.read_text().replace("!= entry.frame:", "== entry.frame:")
    name = files.write(tmp_path, "broken", broken)
    with pytest.raises(Exception, match="the nested table maps what backs a page"):
        compared(name)


# --- Files ----------------------------------------------------------------------------


def test_an_edited_file_is_another_module(tmp_path: Path) -> None:
    name = files.write(tmp_path, "bare", files.BARE)
    first = registry.get(name)
    assert registry.get(name) is first
    files.write(tmp_path, "bare", files.BARE.replace('name="bare"', 'name="edited"'))
    second = registry.get(name)
    assert (first.name, second.name) == ("bare", "edited")
    assert first.module != second.module
    assert sys.modules[first.module] is not sys.modules[second.module]


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    one = files.write(tmp_path, "bare", files.BARE)
    two = files.write(tmp_path / "new", "bare", files.BARE)
    found = compared(f"{one},{two}")
    assert [result.technique for result in found.results] == [one, two]
    assert found[one] is found.results[0] and found[two] is found.results[1]
    with pytest.raises(KeyError):
        found["bare"]


def test_one_file_by_two_paths_is_named_twice(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    one = files.write(tmp_path, "bare", files.BARE)
    with pytest.raises(InputError, match="is named twice; expected each once"):
        compared(f"{one},{tmp_path / 'new' / '..' / 'bare.py'}")


WRONG = {
    "syntax": ("x = = 1", ", line 1: SyntaxError: invalid syntax"),
    "no technique": ("x = 1", "expected an object TECHNIQUE of mmulab's Technique in it"),
    "another object": ("TECHNIQUE = 1", "expected an object TECHNIQUE of mmulab's Technique"),
    "raises": ("\nx = 1 / 0", ", line 2: ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit(3)", ", line 1: SystemExit: 3"),
    "relative import": ("from . import x", ", line 1: ImportError: attempted relative import"),
    "missing argument": (
        files.BARE.replace('source="-",', ""), "missing 1 required positional argument: 'source'",
    ),
    "name of a built-in": (
        files.BARE.replace('"bare"', '"native"'),
        "calls itself 'native', which is a technique of mmulab",
    ),
    "unknown hook": (
        files.BARE.replace("virtual", 'hooks={"faults": None}, virtual'),
        "unknown hook 'faults'; did you mean 'fault'?",
    ),
    "no kernel": (
        files.BARE.replace("virtual", 'hooks={"start": print}, virtual'),
        "technique bare: hook start: expected a @kernel",
    ),
    "arity": (
        files.BARE.replace(
            "TECHNIQUE =",
            "from mmulab.mmu.kernels.compiling import kernel\n"
            "@kernel\ndef touch(machine):\n    return 0\nTECHNIQUE =",
        ).replace("virtual", 'hooks={"touch": touch}, virtual'),
        "technique bare: hook touch takes (machine); expected (machine, gfn)",
    ),
    "too many exits": (
        files.BARE.replace(
            "TECHNIQUE =", "from mmulab.mmu.techniques.nested import TECHNIQUE as T\nTECHNIQUE ="
        ).replace("virtual", "exits=33 * T.exits, virtual"),
        "technique bare: expected at most 32 exit reasons and 32 counters",
    ),
    "category": (
        files.copy_of("nested", "mine").replace(
            "exits=second_dimension.WITH_PML",
            "exits=(replace(second_dimension.EXITS[0], category='exits'),)",
        ).replace("import numpy as np", "import numpy as np\nfrom dataclasses import replace"),
        "technique mine: unknown category 'exits'; did you mean",
    ),
    "a kernel that does not compile": (
        files.copy_of("nested", "mine").replace("machine.vcpu.regs[0].root = hfn",
                                                "machine.vcpu.registers[0].root = hfn"),
        "numba cannot compile it: Unknown attribute 'registers' of type",
    ),
    "a walk that does not compile": (
        files.OWN_WALK.replace("leaf + (offset_in", "leaf.value + (offset_in"),
        "numba cannot compile it: Unknown attribute 'value' of type int64 (wrong.py, line 18)",
    ),
    "nothing mends a fault": (
        files.BARE.replace("one_dimensional", "two_dimensional").replace("virtual=False,", ""),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_sentence(mmulab, tmp_path: Path, case: str) -> None:  # type: ignore
    text, expected = WRONG[case]
    name = files.write(tmp_path, "wrong", text)
    result = mmulab("compare", "gups:size=1M,accesses=1K", "--techniques", name)
    if expected is None:
        check_error(result, 1, "the technique leaves status 2 as it is: see memory/status.py")
    else:
        check_error(result, 2, expected)
    assert result.out == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("./none.py", "technique none.py: No such file or directory"),
        ("./folder/", "technique folder: Is a directory"),
        ("./plain", "technique plain: expected a Python file, NAME.py"),
    ],
)
def test_no_such_file_is_one_sentence(mmulab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      name: str, expected: str) -> None:  # type: ignore  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text(files.BARE)
    check_error(mmulab("compare", "--techniques", name), 2, expected)


# --- Other packages -------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Installs a package of one module with an entry point."""

    def install(module: str, text: str, point: str) -> None:
        (tmp_path / f"{module}.py").write_text(text)
        about = tmp_path / f"{module}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[mmulab.techniques]\n{point}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()

    yield install
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_another_package_brings_a_technique(mmulab, installed) -> None:  # type: ignore
    installed("flat_paging", files.BARE, "bare = flat_paging:TECHNIQUE")
    assert registry.names() == (*registry.of_package(), "bare")
    assert parse("bare").technique.module == "flat_paging"
    native, bare = compared("native,bare").results
    assert numbers(native) == numbers(bare)
    assert re.search(r"^bare +-$", mmulab("techniques").out, re.MULTILINE)
    check_error(mmulab("compare", "--techniques", "baer"), 2, "did you mean 'bare'?")


def test_a_broken_package_harms_only_those_who_name_it(mmulab, installed) -> None:  # type: ignore
    installed("no_good", "raise ValueError('no')", "bad = no_good:TECHNIQUE")
    assert mmulab("compare", CHURN, "--techniques", "native").code == 0
    check_error(mmulab("compare", "--techniques", "bad"), 2, "technique bad: ValueError: no")
    listed = mmulab("techniques")
    assert listed.code == 0 and "unusable: technique bad: ValueError: no" in listed.out


def test_a_package_cannot_replace_a_technique_of_mmulab(installed) -> None:  # type: ignore
    installed("usurper", files.BARE, "native = usurper:TECHNIQUE")
    assert registry.names() == registry.of_package()
    assert registry.get("native").module == "mmulab.mmu.techniques.native"
