"""Scenarios from TOML: what is read, and one sentence for each thing that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmulab.mmu.errors import InputError
from mmulab.mmu.scenario import parsing
from mmulab.workloads import of_vm

GOOD = """
name = "three"
seed = 5
[host]
memory = "64M"
swap = 1048576
set.cost.vm_exit = 2000
[[vm]]
name = "pair"
count = 2
memory = "32M"
workload = "gups:size=1M,accesses=1k"
[[vm]]
name = "slow"
memory = "16M"
workload = "gups:size=1M,accesses=1k"
technique = "shadow"
start = "20ms"
shares = 2000
[ksm]
sleep = "1ms"
[balloon]
policy = "fixed"
[[event]]
at = "5ms"
vm = "slow"
balloon = "4M"
"""


def test_a_scenario_is_read() -> None:
    scenario = parsing.parse(GOOD, "x.toml")
    assert (scenario.name, scenario.seed, scenario.host.memory) == ("three", 5, 64 << 20)
    assert scenario.host.set == (("cost.vm_exit", "2000"),)
    assert [vm.name for vm in scenario.vms] == ["pair-1", "pair-2", "slow"]
    assert [vm.seed for vm in scenario.vms] == [5, 6, 7]
    assert scenario.vms[2].start == pytest.approx(0.02) and scenario.vms[2].shares == 2000
    assert scenario.ksm and scenario.ksm.sleep == pytest.approx(0.001)
    assert scenario.events[0].action.size == 4 << 20 and scenario.reporting is None


BAD = {
    "not TOML": ("[host", "not TOML"),
    "no host": ("name = 'x'", r"no \[host\]"),
    "no vm": ("[host]\nmemory='64M'", r"no \[vm\]"),
    "empty vm list": ("vm = []\n[host]\nmemory='64M'", "no VMs"),
    "unknown table": (GOOD + "[kms]\n", "did you mean 'ksm'"),
    "unknown key": (GOOD.replace("shares", "share"), "slow: unknown key 'share'.*'shares'"),
    "wrong type": (GOOD.replace("shares = 2000", "shares = true"), "expected a whole number"),
    "not a size": (GOOD.replace('"16M"', '"lots"'), "slow memory = 'lots'.*number of bytes"),
    "not a time": (GOOD.replace('"20ms"', '"soon"'), "expected a time"),
    "negative": (GOOD.replace("memory = \"16M\"", "memory = -4096"), "expected 1 to"),
    "1T": (GOOD.replace("shares", 'host_page_size = "1t"\nshares'), "host page size '1t'"),
    "shadow policy": (GOOD.replace('"shadow"', '"shadow:policy=unsinc"'), "did you mean 'unsync'"),
    "native": (GOOD.replace('"shadow"', '"native"'), "has no VMM"),
    "unknown technique": (GOOD.replace('"shadow"', '"shadw"'), "did you mean 'shadow'"),
    "same name": (GOOD.replace('"slow"', '"pair-1"'), "two VMs are called 'pair-1'"),
    "no memory": (GOOD.replace('memory = "16M"\n', ""), "slow: no memory"),
    "reservations": (GOOD.replace('memory = "32M"', 'memory = "64M"\nreservation = "40M"'),
                     "reservations of 80 MiB"),
    "limit": (GOOD.replace("shares", 'limit = "17M"\nshares'), "limit: .* expected"),
    "event": (GOOD.replace('vm = "slow"', 'vm = "fast"'), "vm of an event 'fast'"),
    "event without balloon": (GOOD.replace('[balloon]\npolicy = "fixed"\n', ""), "is off"),
    "repeat": (GOOD.replace("shares", "repeat = true\nshares"), "needs a time to stop"),
    "1g pages": (GOOD.replace("shares", 'page_size = "1g"\nshares'), "page size"),
    "count": (GOOD.replace("count = 2", "count = 0"), "expected 1 or more"),
    "policy": (GOOD.replace('"fixed"', '"fix"'), "did you mean 'fixed'"),
    "vm is no list": ("[host]\nmemory='64M'\n[vm]\nname='a'", r"expected tables, \[\[vm\]\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(InputError, match=message) as error:
        parsing.parse(text, "bad.toml")
    assert str(error.value).startswith("scenario bad.toml: ")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        parsing.load(tmp_path / "missing.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text"):
        parsing.load(binary)
    with pytest.raises(InputError, match="did you mean 'double-paging'"):
        parsing.load("@double-pagin")


def test_workloads_that_do_not_exist() -> None:
    scenario = parsing.parse(GOOD.replace("gups", "gusp"), "x.toml")
    with pytest.raises(InputError, match="vm pair-1: .*gups"):
        of_vm(scenario.vms[0])


@pytest.mark.parametrize("name", parsing.BUNDLED)
def test_bundled_scenarios_are_valid(name: str) -> None:
    scenario = parsing.load(f"@{name}")
    for vm in scenario.vms:
        of_vm(vm)


def test_overrides() -> None:
    scenario = parsing.parse(GOOD, "x.toml")
    changed = parsing.override(scenario, "vm.memory", "20M")
    assert {vm.memory for vm in changed.vms} == {20 << 20}
    changed = parsing.override(scenario, "vm.slow.map_disk", "true")
    assert [vm.map_disk for vm in changed.vms] == [False, False, True]
    changed = parsing.override(scenario, "reporting.period", "5ms")
    assert changed.reporting and changed.reporting.period == pytest.approx(0.005)
    assert parsing.override(scenario, "ksm.pages-to-scan", "7").ksm.pages_to_scan == 7
    for key, text, message in (
        ("vm.memry", "1M", "did you mean 'memory'"),
        ("vm.slw.memory", "1M", "did you mean 'slow'"),
        ("hots.memory", "1M", "did you mean 'host'"),
        ("host.memory", "much", "number of bytes"),
    ):
        with pytest.raises(InputError, match=message):
            parsing.override(scenario, key, text)


def test_reservations_are_summed_over_vms_that_are_on_at_once() -> None:
    """pair-1 and pair-2 have 30 MiB each, slow 8 MiB; the host has 64."""
    text = GOOD.replace('memory = "32M"', 'memory = "32M"\nreservation = "30M"\n{stop}')
    text = text.replace("shares = 2000", 'reservation = "8M"')
    with pytest.raises(InputError, match=r"reservations of 68 MiB from 0.02 s on"):
        parsing.parse(text.format(stop=""), "x.toml")
    with pytest.raises(InputError, match=r"reservations of 68 MiB"):
        parsing.parse(text.format(stop='stop = "21ms"'), "x.toml")
    parsing.parse(text.format(stop='stop = "20ms"'), "x.toml")
