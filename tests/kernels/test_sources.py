"""A digest of sources changes with what is imported, and with nothing else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drivers import throwaway

from mmulab.mmu.kernels import sources

NAME = "mmulab_sources_test"


@pytest.fixture
def digest(cache: Path, tmp_path: Path) -> Iterator[Callable[[], bytes | None]]:
    throwaway.write(tmp_path, NAME)

    def digest() -> bytes | None:
        sources._source.cache_clear()
        sources._place.cache_clear()
        return sources.digest([f"{NAME}.main"])

    __import__(f"{NAME}.main")
    yield digest
    for module in [each for each in sys.modules if each.split(".")[0] == NAME]:
        del sys.modules[module]


def test_of_the_same_sources_is_the_same(digest: Callable[[], bytes]) -> None:
    first = digest()
    assert first is not None and len(first) == 32
    assert digest() == first


@pytest.mark.parametrize("module", ["main", "helper", "deep", "__init__"])
def test_changes_with_what_is_imported(
    digest: Callable[[], bytes], tmp_path: Path, module: str
) -> None:
    before = digest()
    path = tmp_path / NAME / f"{module}.py"
    text = path.read_text()
    throwaway.put(path, text + "# changed\n")
    assert digest() not in (before, None)
    throwaway.put(path, text)
    assert digest() == before


def test_does_not_change_with_what_is_not_imported(
    digest: Callable[[], bytes], tmp_path: Path
) -> None:
    before = digest()
    throwaway.put(tmp_path / NAME / "preset.py", '"""Another text."""\n')
    assert digest() == before


@pytest.mark.parametrize(
    "line",
    [
        f"from {NAME} import preset",
        f"from {NAME} import (\n    deep,  # (one)\n    preset as other,\n)",
        f"from {NAME} import deep, \\\n    preset",
        f"import {NAME}.deep, {NAME}.preset as other",
        f"from {NAME}.preset import *",
        "from . import preset",
        "from .preset import name",
        f"def later():\n    from {NAME}.preset import name",
    ],
)
def test_each_way_to_import_counts(digest: Callable[[], bytes], tmp_path: Path, line: str) -> None:
    throwaway.put(tmp_path / NAME / "deep.py", line + "\n")
    before = digest()
    throwaway.put(tmp_path / NAME / "preset.py", "name = 2\n")
    assert digest() not in (before, None)


def test_imports_of_a_package_count_where_a_name_is_its_own(
    digest: Callable[[], bytes], tmp_path: Path
) -> None:
    throwaway.put(tmp_path / NAME / "__init__.py", f"from {NAME}.preset import name\n")
    before = digest()
    throwaway.put(tmp_path / NAME / "preset.py", "name = 2\n")
    assert digest() == before
    throwaway.put(tmp_path / NAME / "deep.py", f"from {NAME} import name\n")
    before = digest()
    throwaway.put(tmp_path / NAME / "preset.py", "name = 3\n")
    assert digest() != before


def test_covers_what_mmulab_imports() -> None:
    seen: set[str] = set()
    waiting = ["mmulab.workloads.generators.gups"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            source = sources._source(name)
            assert source is not None, name
            waiting += source.imports
    assert "mmulab.workloads.generators.randoms" in seen
    assert "mmulab.mmu.kernels.structs" in seen
    assert not [each for each in seen if each.startswith("mmulab.mmu.presets")]


def test_a_file_of_the_user_counts_with_what_lies_beside_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    throwaway.put(tmp_path / "mine_alone.py", "import beside_it\nimport numpy\n")
    throwaway.put(tmp_path / "beside_it.py", "one = 1\n")
    __import__("mine_alone")
    before = sources.digest(["mine_alone"])
    source = sources._source("mine_alone")
    assert before is not None and source is not None and source.imports == {"beside_it"}
    throwaway.put(tmp_path / "beside_it.py", "one = 2\n")
    sources._source.cache_clear()
    assert sources.digest(["mine_alone"]) not in (before, None)
    for name in ("mine_alone", "beside_it"):
        monkeypatch.delitem(sys.modules, name)


def test_none_where_a_source_changed_after_the_process_began(
    digest: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / NAME / "deep.py"
    os.utime(path)
    assert digest() is None
    later = time.time() + 3600  # clocks that differ
    os.utime(path, (later, later))
    assert digest() is not None


def test_none_without_a_source() -> None:
    assert sources.digest(["mmulab_no_such_module"]) is None
