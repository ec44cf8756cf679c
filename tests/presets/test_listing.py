"""A preset as a list, and back."""

from __future__ import annotations

import json

import pytest

from mmulab.mmu import presets
from mmulab.mmu.presets.listing import described, differences, restored
from mmulab.mmu.presets.overrides import override
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import costs

COSTS = costs(registry.built_in())


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_restored(name: str) -> None:
    preset = presets.load(name)
    assert differences(preset) == {}
    assert restored(json.loads(json.dumps(described(preset, COSTS))), COSTS) == preset
    changed = override(preset, "walk_cache.ntlb.ways", "0")
    changed = override(changed, "cost.vm_exit", {"value": 2, "low": 1, "high": 3, "source": "x"})
    changed = override(changed, "cost.nested.ept_violation", "7", COSTS)
    changed = override(changed, f"tlb.{preset.tlbs[0].name}.policy", "fifo")
    assert restored(json.loads(json.dumps(described(changed, COSTS))), COSTS) == changed
    assert {"cost.vm_exit", "cost.nested.ept_violation"} < set(differences(changed))
