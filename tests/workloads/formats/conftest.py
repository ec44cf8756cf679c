"""Blocks of several sizes, for readers of binary formats."""

from __future__ import annotations

import pytest

from mmulab.workloads.formats import records


@pytest.fixture(params=[13, 100, records.BLOCK])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that are read at a time: small, so that records lie across blocks."""
    monkeypatch.setattr(records, "BLOCK", request.param)
    return request.param
