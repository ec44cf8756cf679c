"""Presets: every one is found by its name and loads by itself."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import mmulab
from mmulab.commands.main import cli
from mmulab.mmu import presets
from mmulab.mmu.errors import InputError
from mmulab.mmu.host.settings import HostSettings


def test_names_are_the_documented_ones():
    assert set(presets.names()) == {
        "opteron-2008",
        "haswell",
        "skylake-sp",
        "golden-cove",
        "sapphire-rapids",
        "lion-cove",
        "zen-4",
        "zen-5",
        "neoverse-n1",
        "neoverse-v2",
        "kunminghu",
    }
    assert presets.DEFAULT in presets.names()


def test_everything_simulates_the_same_processor_unless_told_otherwise() -> None:
    """One constant says which: functions, commands and scenarios."""
    functions = [mmulab.compare, mmulab.walk, mmulab.validate]
    found = {inspect.signature(function).parameters["preset"].default for function in functions}
    options = [each for command in cli.commands.values() for each in command.params]
    found |= {option.default for option in options if option.name == "preset"}
    assert found | {HostSettings(memory=1 << 30).preset} == {presets.DEFAULT}


def test_a_preset_carries_the_name_it_is_loaded_by():
    for name in presets.names():
        assert presets.load(name).name == name


def test_names_are_in_order_of_age():
    years = [presets.load(name).year for name in presets.names()]
    assert years == sorted(years)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match="unknown preset 'skylake'; did you mean 'skylake-sp'"):
        presets.load("skylake")


def test_importing_the_package_loads_nothing_heavy_and_no_preset():
    code = (
        "import sys, mmulab.mmu.presets; "
        "print(*[m for m in sys.modules if m in ('numpy', 'numba', 'mmulab.mmu.presets.haswell')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
