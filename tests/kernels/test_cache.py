"""Entries on disk: what is loaded, what is compiled again, and that results are the same."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from drivers import throwaway
from drivers.damages import DAMAGES
from numba import types

from mmulab.mmu.kernels import cache as caching
from mmulab.mmu.kernels import sources, store
from mmulab.mmu.kernels.compiling import entry, kernel

NAME = "mmulab_cache_test"
INTEGER = (types.int64,)


def loaded(name: str) -> ModuleType:
    """A module as a new process would load it."""
    for each in [each for each in sys.modules if each.split(".")[0] == name.split(".")[0]]:
        del sys.modules[each]
    importlib.invalidate_caches()
    return importlib.import_module(name)


def answered(name: str = f"{NAME}.main") -> tuple[int, bool]:
    """(what an entry answers to 20, whether it was loaded from disk), as in a new process."""
    answer = loaded(name).answer
    return answer(20), bool(answer.stats.cache_hits)


@pytest.fixture(autouse=True)
def forget_modules() -> Any:
    yield
    for each in [each for each in sys.modules if each.split(".")[0] == NAME]:
        del sys.modules[each]


def only_file(cache: Path) -> Path:
    (name,) = os.listdir(cache)
    return cache / name


def test_compiled_once(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    assert answered() == (41, False)
    assert re.fullmatch(rf"{NAME}\.main\.answer-\w{{12}}-\w{{32}}\.mmulab", only_file(cache).name)
    assert answered() == (41, True)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again(
    cache: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    throwaway.write(tmp_path, NAME)
    answered()
    path = only_file(cache)
    DAMAGES[damage](path)
    with monkeypatch.context() as patch:
        patch.setattr(caching.pickle, "loads", lambda _: pytest.fail("it was believed"))
        assert answered() == (41, False)
    assert only_file(cache) == path
    assert answered() == (41, True)


def test_a_file_that_cannot_be_loaded_is_compiled_again(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    answered()
    store.write(only_file(cache).name, b"its digest fits, and it is no pickle")
    assert answered() == (41, False)
    assert answered() == (41, True)


def test_nothing_can_be_kept(
    cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    throwaway.write_entries(tmp_path, NAME, 2)
    cache.mkdir()
    cache.chmod(0o777)
    module = loaded(NAME)
    assert (module.answer1(20), module.answer2(20)) == (20, 40)
    assert os.listdir(cache) == []
    assert capfd.readouterr().err.count("\n") == 1


def test_each_type_is_a_file(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    answer = loaded(f"{NAME}.main").answer
    assert answer(20) == answer(True) + 38 == 41
    assert len(os.listdir(cache)) == 2
    assert caching.is_cached(answer, INTEGER) and not caching.is_cached(answer, (types.uint8,))


def name_of(function: Any, signature: Any = INTEGER) -> str | None:
    """The file of an entry, as a new process would name it."""
    sources._source.cache_clear()
    fresh: str | None = caching.EntryCache(function).name(signature, function.targetctx)
    return fresh


def test_name_changes_with_settings(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    throwaway.write(tmp_path, NAME)
    answer = loaded(f"{NAME}.main").answer
    before = name_of(answer)
    assert before is not None and name_of(answer) == before
    for owner, name, value in (
        (caching.config, "OPT", 1),
        (caching.numba, "__version__", "0.0"),
        (caching.llvmlite, "__version__", "0.0"),
        (caching.np, "__version__", "0.0"),
        (sys, "version", "0.0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert name_of(answer) not in (before, None), name
    processor = type(answer.targetctx.codegen())
    monkeypatch.setattr(processor, "magic_tuple", lambda _: ("another", "processor"))
    assert name_of(answer) not in (before, None)


class Namespace(types.Type):  # type: ignore[misc]
    """A type that stands for the kernels of a module."""

    def __init__(self, module: str) -> None:
        self.where = (module, "kernels")
        super().__init__(name="Namespace")


def test_name_changes_with_the_modules_of_types(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    answer = loaded(f"{NAME}.main").answer
    signature = (types.Tuple((types.int64, Namespace(f"{NAME}.preset"))),)
    with_it, without = name_of(answer, signature), name_of(answer)
    throwaway.put(tmp_path / NAME / "preset.py", "changed = 1\n")
    assert name_of(answer, signature) not in (with_it, None)
    assert name_of(answer) == without


def make(number: int) -> Any:
    @kernel
    def add(x):  # type: ignore[no-untyped-def]
        return x + number

    @entry
    def answer(x):  # type: ignore[no-untyped-def]
        return add(x)

    return answer


def test_entries_that_a_function_makes_are_told_apart(cache: Path) -> None:
    one, two = make(1), make(2)
    assert name_of(one) == name_of(make(1))
    assert name_of(one) not in (name_of(two), None)
    assert (one(20), two(20)) == (21, 22)
    assert (make(1)(20), make(2)(20)) == (21, 22)


def test_is_cold(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    module = f"{NAME}.main"
    assert caching.is_cold(module)
    answered()
    assert not caching.is_cold(module)
    throwaway.put(tmp_path / NAME / "deep.py", throwaway.PACKAGE["deep"] + "# changed\n")
    sources._source.cache_clear()
    assert caching.is_cold(module)


def test_recompile_begins_anew(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    answer = loaded(f"{NAME}.main").answer
    assert answer(20) == 41
    answer.recompile()
    assert answer(20) == 41 and not answer.stats.cache_hits
    assert list(answer.stats.cache_misses.values()) == [2]
    assert only_file(cache).exists()


ASKS = f"""
from {NAME}.main import answer
print(answer(20), sum(answer.stats.cache_misses.values()))
"""


def test_new_processes(tmp_path: Path) -> None:
    """What is imported is compiled again where it changes, and not where it changes back."""
    throwaway.write(tmp_path, NAME)
    assert throwaway.run(tmp_path, ASKS) == "41 1"
    throwaway.put(tmp_path / NAME / "preset.py", '"""Another docstring."""\n')
    assert throwaway.run(tmp_path, ASKS) == "41 0"
    text = throwaway.PACKAGE["deep"]
    throwaway.put(tmp_path / NAME / "deep.py", text.replace("<< 1", "<< 2"))
    assert throwaway.run(tmp_path, ASKS) == "81 1"
    throwaway.put(tmp_path / NAME / "deep.py", text)
    assert throwaway.run(tmp_path, ASKS) == "41 0"


ALL = f"""
import {NAME} as module
input()
entries = [module.answer1, module.answer2, module.answer3]
print([each(20) for each in entries], sum(len(each.stats.cache_misses) for each in entries))
"""


def test_four_cold_processes_compile_each_entry_once(tmp_path: Path) -> None:
    throwaway.write_entries(tmp_path, NAME, 3)
    started = [throwaway.start(tmp_path, ALL) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [throwaway.output(process).rsplit(" ", 1) for process in started]
    assert {answers for answers, _ in outputs} == {"[20, 40, 60]"}
    assert sum(int(compiled) for _, compiled in outputs) == 3
    assert len(os.listdir(tmp_path / "cache")) == 3
