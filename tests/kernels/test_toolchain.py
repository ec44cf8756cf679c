"""What is known of the processor and numba is kept, and asked anew where it may have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drivers import throwaway

from mmulab.mmu.kernels import machine_code, toolchain

pytestmark = pytest.mark.skipif(not machine_code.AVAILABLE, reason="needs Linux on x86-64")

NAME = "mmulab_toolchain_test"

ASKS = f"""
import sys
from {NAME}.main import answer
from mmulab.mmu.kernels import toolchain
print(answer(20), len(answer.compiled), 'numba' in sys.modules, toolchain.numba_version() != '')
"""
COLD, WARM = "41 1 True True", "41 0 False True"


def files(cache: Path) -> list[str]:
    return [name for name in os.listdir(cache) if name.startswith("toolchain-")]


def test_what_is_kept(tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    cache = tmp_path / "cache"
    assert throwaway.run(tmp_path, ASKS) == COLD
    assert throwaway.run(tmp_path, ASKS) == WARM
    (name,) = files(cache)

    # Settings that a program makes are not those of the environment.
    sets = "from numba.core import config; config.LOOP_VECTORIZE = 0\n"
    assert throwaway.run(tmp_path, sets + ASKS) == COLD
    assert files(cache) == [name]

    # Damaged, it is asked for anew.
    whole = (cache / name).read_bytes()
    (cache / name).write_bytes(whole[:-3])
    assert throwaway.run(tmp_path, ASKS) == "41 0 True True"
    assert (cache / name).read_bytes() == whole


def test_bounds_are_checked_by_numbas_own(tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    for expected in COLD, "41 0 True True":
        assert throwaway.run(tmp_path, ASKS, NUMBA_BOUNDSCHECK="1") == expected


def test_the_name_tells_what_it_depends_on_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = toolchain._name()
    assert before is not None and toolchain._name() == before
    (tmp_path / ".numba_config.yaml").write_text("opt: 1\n")
    assert toolchain._name() not in (None, before)
    (tmp_path / ".numba_config.yaml").unlink()
    for key, name in (("NUMBA_CPU_NAME", "generic"), ("NUMBA_ENABLE_AVX", "0")):
        with monkeypatch.context() as patch:
            patch.setenv(key, name)
            assert toolchain._name() not in (None, before)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    assert toolchain._name() == before
    processor = toolchain._processor()
    assert processor is not None
    for changed in (processor.replace(" avx", ""), processor.replace("model\t", "model\t1")):
        with monkeypatch.context() as patch:
            patch.setattr(toolchain, "_processor", lambda changed=changed: changed)
            assert (toolchain._name() == before) == (changed == processor)
    monkeypatch.setattr(toolchain, "_processor", lambda: None)
    assert toolchain._name() is None
