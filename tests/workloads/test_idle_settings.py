"""Settings and mechanisms that do nothing: refused where they are given, or said."""

from __future__ import annotations

import pytest

from mmulab.arguments import settle
from mmulab.mmu.errors import InputError
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import compare, run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.plots.terminal.scenario import text
from mmulab.workloads import of_vm

FIXED = '[balloon]\npolicy = "fixed"\n'
ESX = "[balloon]\n"
SWAP = 'swap = "1M"\n'
EVENT = '[[event]]\nat = 0\nvm = "a-guest"\nballoon = "1M"\n'


def written(host: str = "", vm: str = "", rest: str = "") -> str:
    return (
        f'name = "idle"\n[host]\nmemory = "64M"\n{host}[[vm]]\nname = "a-guest"\nmemory = "16M"\n'
        f'workload = "gups:size=4M,accesses=20k"\n{vm}{rest}'
    )


def scenario(host: str = "", vm: str = "", rest: str = "") -> Scenario:
    return parsing.parse(written(host, vm, rest), "idle.toml")


REFUSED = {
    "tax": (("", "", FIXED + "tax = 0.75"), r"balloon\.tax .*policy = 'esx'"),
    "sample": (("", "", FIXED + "sample = 5"), r"balloon\.sample .*policy = 'esx'"),
    "period": (("", "", FIXED + "sample-period = 1"), r"balloon\.sample_period .*'esx'"),
    "smart scan": (("", "", '[ksm]\nmethod = "hints"\nsmart_scan = true'), "method = 'ksm'"),
    "target": (("", 'balloon = "1M"\n', ESX), r"vm\.a-guest\.balloon .*policy = 'fixed'"),
    "no balloon": (("", 'balloon = "1M"\n', ""), r"vm\.a-guest\.balloon .*add \[balloon\]"),
    "event": (("", "", ESX + EVENT), "event .* a-guest; policy 'esx' .*policy = 'fixed'"),
    "latency": (("latency = 1e-4\n", "", ""), r"host\.latency .*\[host\] swap or a \[\[vm\]\]"),
    "bandwidth": (("bandwidth = 1e9\n", "", ""), r"host\.bandwidth does nothing"),
    "victims": (('victims = "clock"\n', "", ""), r"host\.victims .*give \[host\] swap"),
    "shares of none": ((SWAP + 'victims = "shares"\n', "", ""), r"victims .*add \[balloon\]"),
    "map_disk": (("", "map_disk = true\n", ""), r"map_disk .*give it a disk"),
    "emulate_writes": (("", "emulate_writes = true\n", ""), r"emulate_writes .*swap"),
    "shadow_policy": (("", 'shadow_policy = "trap"\n', ""), r"shadow_policy .*'nested' has none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_given_and_does_nothing_is_refused(name: str) -> None:
    parts, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        scenario(*parts)


@pytest.mark.parametrize(
    "parts",
    [
        ("", "", ESX + "tax = 0.5\nsample = 5\nsample_period = 1\n"),
        ("", 'balloon = "1M"\n', FIXED + EVENT),
        ("", "balloon = 0\nmap_disk = false\n", ESX),  # off, whatever the policy
        (SWAP + 'victims = "shares"\nlatency = 1e-4\n', "emulate_writes = true\n", ESX),
        ("latency = 1e-4\n", 'disk = "1M"\nmap_disk = true\nemulate_writes = true\n', ""),
        ("", 'technique = "shadow"\nshadow_policy = "trap"\n', "[ksm]\nsmart_scan = false"),
    ],
)
def test_what_does_something_is_taken(parts: tuple[str, str, str]) -> None:
    scenario(*parts)


def test_changes_are_judged_by_what_they_come_to() -> None:
    fixed = scenario(rest=FIXED)
    with pytest.raises(InputError, match=r"balloon\.tax does nothing"):
        settle(fixed, [("balloon.tax", "0.5")])
    changed = settle(fixed, [("balloon.tax", "0.5"), ("balloon.policy", "esx")])
    assert changed.balloon and changed.balloon.tax == 0.5
    # Of all VMs: refused only where it does nothing for any of them.
    both = written().replace("[[vm]]", '[[vm]]\nname = "b"\nmemory = "4M"\nworkload = "gups"\n'
                             'technique = "shadow"\n[[vm]]')  # fmt: skip
    settle(parsing.parse(both, "both.toml"), [("vm.shadow_policy", "trap")])
    with pytest.raises(InputError, match="shadow_policy does nothing"):
        settle(scenario(), [("vm.shadow-policy", "trap")])
    settle(scenario(), [("vm.shadow_policy", "trap")], technique="shadow")


def test_what_a_change_makes_idle_is_noted() -> None:
    taxed = settle(scenario(rest=ESX + "tax = 0.5\n"), [("balloon.policy", "fixed")])
    assert run(taxed, of_vm).notes[0].startswith("balloon.tax does nothing: policy 'fixed'")


def test_what_a_vm_is_due_is_noted_where_nobody_asks() -> None:
    notes = run(scenario(vm="shares = 5\nmergeable = false\n"), of_vm).notes
    assert [note.split(":")[0] for note in notes] == [
        "vm.a-guest.shares does nothing", "vm.a-guest.mergeable does nothing",
    ]  # fmt: skip
    assert run(scenario(), of_vm).notes == ()


NEVER = {
    "balloon: never acted: it was due at 1 s, and the run ended at 0.00": ESX,
    "balloon: never acted: the host had enough free memory": '[balloon]\nperiod = "100us"\n',
    "balloon: never acted: no VM has a target": FIXED + 'period = "100us"\n',
    "balloon: an event never came: a target of a-guest: it was due at 9 s": FIXED
    + EVENT.replace("at = 0", "at = 9"),
    "ksm: never acted: it was due at 0.02 s": "[ksm]\n",
    "ksm: looked at 20 pages, less than one pass": '[ksm]\nsleep = "1ms"\npages_to_scan = 10\n',
    "ksm: never merged: no two pages": '[ksm]\nsleep = "100us"\npages_to_scan = 9999\n',
    "reporting: never acted: it was due at 2 s": "[reporting]\n",
    "reporting: never acted: no guest had a free block of 512": '[reporting]\nperiod = "1ms"\n',
}


@pytest.mark.parametrize("note", NEVER)
def test_a_mechanism_that_never_acted_says_why(note: str) -> None:
    given = scenario(rest=NEVER[note])
    given = settle(given, [("host.quantum", "100"), ("vm.workload", "gups:size=4M,accesses=2k")])
    notes = [each for each in run(given, of_vm).notes if "does nothing" not in each]
    assert len(notes) == 1 and notes[0].startswith(note)


def test_notes_are_printed_with_the_variants_that_they_are_of() -> None:
    every = compare(scenario(rest=ESX + "[ksm]\nsleep = 1\n"), of_vm)
    lines = [line for line in text(every).splitlines() if line.startswith("note: ")]
    assert [line.rsplit(" (")[1] for line in lines] == ["balloon, together)", "ksm, together)"]
    assert all("it was due at 1 s" in line for line in lines)
    assert "note: balloon" in text(every[-1:]) and "(together)" not in text(every[-1:])


PRESSED = (
    'name = "pressed"\n[host]\nmemory = "{host}"\nswap = "64M"\nquantum = 1000\n[[vm]]\n'
    'name = "a-guest"\nmemory = "16M"\ndisk = "64M"\n{vm}\nworkload = "{workload}"\n'
)
GUPS = "gups:size=12M,accesses=20k"


@pytest.mark.parametrize(
    ("host", "vm", "workload", "notes"),
    [
        ("64M", "", GUPS, ["host paging: never acted: the host had frames to spare"]),
        ("8M", "", GUPS, []),
        (
            "15900K", 'reservation = "15800K"', "gups:size=15M,accesses=20k",
            ["host paging: never acted: no page could leave"],
        ),
        (
            "64M", "map_disk = true\nemulate_writes = true", GUPS,
            ["host paging: never acted", "vm a-guest: map_disk and emulate_writes never acted"],
        ),
        (
            "8M", "map_disk = true", GUPS,
            ["vm a-guest: map_disk never acted: the guest's disk held no page"],
        ),
    ],
)  # fmt: skip
def test_paging_that_never_acted_says_why(
    host: str, vm: str, workload: str, notes: list[str]
) -> None:
    text = PRESSED.format(host=host, vm=vm, workload=workload)
    result = run(parsing.parse(text, "pressed.toml"), of_vm)
    assert len(result.notes) == len(notes), result.notes
    for said, expected in zip(result.notes, notes, strict=True):
        assert said.startswith(expected)
