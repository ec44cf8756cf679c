from __future__ import annotations

from pathlib import Path

import pytest

from mmulab.mmu.kernels import sources, store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a process that knows no module and has said nothing."""
    forget(monkeypatch)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "cache"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    sources._source.cache_clear()
    sources._place.cache_clear()
    monkeypatch.setattr(store, "_said", False)
    monkeypatch.setattr(store, "_tidied", set())
