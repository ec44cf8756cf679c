"""The public interface: what docs/api.md describes, what `mmulab` has, and what the commands do."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from drivers.results import unmade

import mmulab
from mmulab import api, arguments, workloads
from mmulab.commands import options
from mmulab.commands.main import cli
from mmulab.mmu.config import Config
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.trace import LOAD, NO_EVENTS

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
SMALL = "gups:size=4M,accesses=5K"


def printed(*arguments: str) -> str:
    """Standard output of a command."""
    result = CliRunner().invoke(cli, arguments, prog_name="mmulab", catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def headings() -> dict[str, list[str]]:
    """Parameters by function, as docs/api.md has them in its headings."""
    lines = re.findall(r"^### (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    calls = [call for line in lines for call in re.findall(r"`(\w+)\(([^`]*)\)`", line)]
    return {name: re.split(r",\s*", inside) if inside else [] for name, inside in calls}


def test_the_page_names_what_there_is() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), flags=re.M)
    named = [*headings(), *re.findall(r"`(\w+)`", " ".join(rows))]
    assert sorted(named) == sorted(mmulab.__all__)
    assert all(hasattr(mmulab, name) for name in mmulab.__all__)
    assert set(mmulab.__all__) <= set(dir(mmulab))


@pytest.mark.parametrize("name", headings())
def test_the_page_has_each_functions_parameters(name: str) -> None:
    parameters = inspect.signature(getattr(mmulab, name)).parameters
    wanted = ["**options" if p.kind is p.VAR_KEYWORD else p.name for p in parameters.values()]
    assert [each for each in headings()[name] if each != "*"] == wanted
    assert getattr(mmulab, name).__doc__


def test_the_page_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.M)
    page = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(page.examples) > 20
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(page, out=said.append)
    assert not said, "".join(said)
    assert (tmp_path / "gups.svg").read_bytes().startswith(b"<?xml")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mmulab' has no attribute 'comparee'"):
        _ = mmulab.comparee  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        exec("from mmulab import comparee")


@pytest.mark.parametrize("code", ["import mmulab", "import mmulab.api", "from mmulab import run"])
def test_importing_is_cheap(code: str) -> None:
    heavy = "{'numpy', 'numba', 'matplotlib'} & set(sys.modules)"
    subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nsys.exit(', '.join({heavy}) or None)"],
        check=True,
    )


def test_the_options_are_those_of_the_commands() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Config)}
    assert set(arguments.Machine.__annotations__) == set(fields)

    @options.machine_options
    def command() -> None: ...

    given = {each.name for each in command.__click_params__}  # type: ignore[attr-defined]
    assert given == {*fields, "preset", "overrides"}
    described = inspect.getdoc(api.compare)
    assert described and all(re.search(rf"\b{name}\b", described) for name in fields)
    assert all(re.search(rf"`{name}`", PAGE.read_text(encoding="utf-8")) for name in fields)


def test_compare_is_the_command() -> None:
    arguments = ("--preset", "zen-4", "--techniques", "shadow,nested", "--memory", "64M",
                 "--page-size", "thp", "--levels", "5", "--no-pcid", "--seed", "3",
                 "--warmup", "1K", "--set", "cost.vm_exit=2000")  # fmt: skip
    (command,) = json.loads(printed("compare", SMALL, *arguments, "--json", "-"))
    comparison = mmulab.compare(
        SMALL, preset="zen-4", techniques="shadow,nested", memory="64M", page_size="thp",
        levels=5, pcid=False, seed=3, warmup="1K", set={"cost": {"vm_exit": 2000}},
    )  # fmt: skip
    assert unmade(json.dumps(comparison.to_dict())) == unmade(command)
    assert mmulab.table(comparison) + "\n\n" == printed("compare", SMALL, *arguments)


def same(**given: Any) -> dict[str, Any]:
    """A comparison of SMALL as plain data; its arguments are texts or what they stand for."""
    return unmade(
        mmulab.compare(
            **{"trace": SMALL, "techniques": "native", "memory": "64M"} | given
        ).to_dict()
    )


def test_texts_and_values_say_the_same(tmp_path: Path) -> None:
    text = same(warmup="1K", set=["cost.vm_exit=7", "tlb.stlb.ways=8"], preset="haswell")
    preset = mmulab.preset("haswell", set={"tlb": {"stlb": {"ways": 8}}, "cost.vm_exit": 7})
    assert text == same(warmup=1000, preset=preset, memory=64 << 20)
    assert text == same(warmup=np.int64(1000), preset=preset, techniques=["native"])
    path = tmp_path / "trace.mmt"
    printed("trace", "generate", SMALL, "-o", str(path))
    of_path, of_text = same(trace=path), same(trace=str(path))
    assert of_path == of_text == same(trace=workloads.open_trace(path)) | {"trace": "trace.mmt"}
    assert of_path["results"] == same()["results"]


class Loads:
    """A trace of one's own."""

    name = "loads"
    length = 100

    def chunks(self):  # type: ignore[no-untyped-def]
        addresses = 0x10_0000 + 4096 * np.arange(100)
        yield mmulab.Chunk(
            addresses, np.full(100, LOAD, np.uint8), np.full(100, 8, np.uint16), NO_EVENTS
        )


def test_a_trace_may_be_any_object() -> None:
    assert mmulab.compare(Loads(), memory="64M")["nested"].counts["accesses"] == 100
    assert mmulab.trace_info(Loads()).accesses == mmulab.miss_ratio(Loads()).accesses == 100
    trace = Loads()
    assert mmulab.trace(trace) is trace


def test_walk_is_the_command() -> None:
    walk = mmulab.walk("0x7f1234567abc", "shadow", store=True, levels=5)
    command = printed(
        "walk", "0x7f1234567abc", "--techniques", "shadow", "--store", "--levels", "5"
    )
    assert mmulab.table(walk) + "\n\n" == command
    cached = mmulab.walk(0x7F1234567ABC, walk_caches=True)
    assert len(cached.references) < len(mmulab.walk(0x7F1234567ABC).references) == 24


def test_run_is_the_command() -> None:
    tiny = "vm.workload=zipf:keys=2k,accesses=20K"
    one = mmulab.run("@idle-tax", set=[tiny], technique="shadow")
    assert {vm.technique for vm in one.vms} == {"shadow"}
    command = printed("run", "@idle-tax", "--set", tiny, "--technique", "shadow", "--json", "-")
    assert unmade(command) == unmade(json.dumps([one.to_dict()]))
    scenario = Scenario(
        "one", HostSettings(96 << 20), (VMSettings("vm", "zipf:keys=2k,accesses=20K", 64 << 20),)
    )
    variants = mmulab.run(scenario, compare=True)
    assert len(variants) > 1 and variants[0]["vm"].accesses == 20_000


def test_mrc_and_info_are_the_commands() -> None:
    curve = mmulab.miss_ratio(SMALL, page_sizes=["4k"], warmup="1K", max=2000, sample=0.5)
    command = (
        "mrc",
        SMALL,
        "--page-sizes",
        "4k",
        "--warmup",
        "1K",
        "--max",
        "2K",
        "--sample",
        "0.5",
    )
    assert mmulab.table(curve) + "\n\n" == printed(*command)
    assert mmulab.table(mmulab.trace_info(SMALL)) + "\n" == printed("trace", "info", SMALL)


def test_dedup_is_the_command(tmp_path: Path) -> None:
    files = [tmp_path / "a.raw", tmp_path / "b.raw"]
    for number, file in enumerate(files):
        file.write_bytes(bytes(8192) + b"same" * 1024 + bytes([number]) * 4096)
    command = printed("dedup", *map(str, files), "--page-sizes", "4k")
    assert mmulab.table(mmulab.dedup(files, page_sizes="4k")) + "\n" == command
    assert mmulab.dedup(files[0]).files == mmulab.dedup([str(files[0])]).files


def test_every_kind_of_result_is_shown(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(4096))
    comparison = mmulab.compare(SMALL, memory="64M", techniques="native")
    results = (comparison, [comparison, comparison], mmulab.walk(4096), mmulab.trace_info(SMALL),
               mmulab.miss_ratio(SMALL), mmulab.dedup(image))  # fmt: skip
    for number, result in enumerate(results):
        assert mmulab.table(result)
        mmulab.plot(result, tmp_path / f"{number}.svg")
        assert (tmp_path / f"{number}.svg").stat().st_size > 1000
    assert mmulab.table([comparison] * 2).count("cycles per access  ") == 2
    assert mmulab.table(mmulab.preset("haswell")) + "\n" == printed("presets", "haswell")


WRONG: dict[str, tuple[Any, str]] = {
    "trace": (lambda: mmulab.compare(3), "a trace of type int: expected a text"),
    "no file": (lambda: mmulab.compare("./no.trace"), "./no.trace: no such file"),
    "option": (lambda: mmulab.compare(SMALL, memroy=1), "unknown option 'memroy'; did you mean"),
    "bytes": (lambda: mmulab.compare(SMALL, memory="much"), "memory 'much': expected a number of"),
    "number": (lambda: mmulab.compare(SMALL, memory=1e9), "memory 1000000000.0: expected a whole"),
    "warm-up": (lambda: mmulab.compare(SMALL, warmup="x"), "warmup 'x': expected a whole number"),
    "technique": (lambda: mmulab.compare(SMALL, techniques="nestde"), "did you mean 'nested'"),
    "no technique": (lambda: mmulab.compare(SMALL, techniques=" ,"), "no technique; expected"),
    "preset": (lambda: mmulab.preset("haswel"), "did you mean 'haswell'"),
    "set": (lambda: mmulab.preset("haswell", set=["cost.vm_exit"]), "set cost.vm_exit: expected K"),
    "key": (
        lambda: mmulab.preset("haswell", set={"cost.vm_exi": 1}),
        "did you mean 'cost.vm_exit'",
    ),
    "address": (lambda: mmulab.walk("here"), "'here': expected an address such as"),
    "large": (lambda: mmulab.walk(1 << 64), "expected an address of 64 bits"),
    "scenario": (lambda: mmulab.run("@nothing"), "unknown bundled scenario 'nothing'"),
    "images": (lambda: mmulab.dedup([]), "expected at least one memory image"),
    "sizes": (lambda: mmulab.dedup("x", page_sizes="4kb"), "unknown page size '4kb'"),
    "no size": (lambda: mmulab.dedup("x", page_sizes=""), "no page size; expected 4k, 2m or both"),
    "no result": (lambda: mmulab.table("x"), "cannot show str; expected one or more of one kind"),
    "nothing": (lambda: mmulab.plot([]), "cannot show an empty list"),
    "no figure": (lambda: mmulab.plot(mmulab.preset("haswell")), "Preset: there is no figure"),
    "figure": (lambda: mmulab.plot(mmulab.walk(0), "a.jpg"), "unknown format '.jpg'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(what: str) -> None:
    call, sentence = WRONG[what]
    with pytest.raises(mmulab.InputError, match=re.escape(sentence)) as caught:
        call()
    assert "\n" not in str(caught.value)
