"""Each preset in turn."""

from __future__ import annotations

import pytest

from mmulab.mmu import presets


@pytest.fixture(params=presets.names())
def preset(request):
    return presets.load(request.param)
