"""Events and copies in scenarios: what is refused before anything runs, and what a run says."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.results import RunResult
from mmulab.mmu.scenario.run import run
from mmulab.mmu.scenario.settings import restored
from mmulab.plots.terminal import scenario as terminal

SCENARIO = """
name = "lives"
[host]
memory = "64M"
preset = "skylake-sp"
quantum = 5_000
[[vm]]
name = "base"
memory = "8M"
technique = "{technique}"
workload = "guest:size=4M,accesses=60k,active=0.5,zero=0.1"
{rest}
"""


def event(at: str, do: str, vm: str = "base", **arguments: str) -> str:
    lines = [f'{key} = "{value}"' for key, value in arguments.items()]
    return "\n".join(["[[event]]", f'at = "{at}"', f'vm = "{vm}"', f'do = "{do}"', *lines])


def clone(of: str = "base", start: str = "2ms", name: str = "web", **settings: str) -> str:
    lines = [f"{key} = {value}" for key, value in settings.items()]
    return "\n".join(
        ["[[vm]]", f'name = "{name}"', f'clone_of = "{of}"', f'start = "{start}"', *lines]
    )


def scenario(*parts: str, technique: str = "nested"):
    text = SCENARIO.format(rest="\n".join(parts), technique=technique)
    return parsing.parse(text, "lives.toml")


REFUSED = {
    "unknown action": ((event("1ms", "suspnd"),), "unknown do of an event 'suspnd'; did you mean"),
    "no action": (('[[event]]\nat = 1\nvm = "base"',), "[[event]]: no do"),
    "no such VM": ((event("1ms", "stop", "bas"),), "unknown vm of an event 'bas'"),
    "unknown argument": (
        (event("1ms", "suspend", into="disk"),),
        "[[event]] suspend of base at 0.001 s: unknown key 'into'",
    ),
    "argument": ((event("1ms", "suspend", to="tape"),), "suspend to"),
    "no argument": ((event("1ms", "snapshot"),), "snapshot of base at 0.001 s: no snapshot"),
    "not suspended": (
        (event("1ms", "resume"),),
        "resume of base at 0.001 s: it is running then; expected suspended or suspended to disk",
    ),
    "deleted": (
        (event("2ms", "suspend"), event("1ms", "delete")),
        "suspend of base at 0.002 s: it is deleted then",
    ),
    "a template runs no more": (
        (event("1ms", "template"), event("2ms", "resume")),
        "it is a template then",
    ),
    "nothing writes to a template": (
        (event("1ms", "snapshot", snapshot="s"), event("2ms", "template"),
         event("3ms", "restore", snapshot="s")),
        "it is a template then",
    ),
    "no such snapshot": (
        (event("1ms", "restore", snapshot="s"), event("2ms", "snapshot", snapshot="s")),
        "it has no snapshot 's' then",
    ),
    "snapshot twice": (
        (event("1ms", "snapshot", snapshot="s"), event("2ms", "snapshot", snapshot="s")),
        "it has a snapshot 's' already",
    ),
    "clone of nothing": ((clone("bas"),), "unknown vm above it 'bas'"),
    "clone of what is off": (
        (clone(), event("1ms", "stop")),
        "vm web: it is a copy of base at 0.002 s, and base is off then",
    ),
    "clone of no snapshot": ((clone("base@s"),), "base has no snapshot 's' then"),
    "clone unlike its source": (
        (clone(memory='"16M"'),),
        "vm web: memory = 16777216, and it is a copy of base, whose memory is 8388608",
    ),
    "before it is there": (
        (clone(), event("1ms", "suspend", "web")),
        "suspend of web at 0.001 s: it is not started then",
    ),
    "balloon": ((event("1ms", "balloon", size="4M"),), "ballooning is off"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_one_sentence_before_the_run(name: str) -> None:
    parts, message = REFUSED[name]
    with pytest.raises(InputError) as error:
        scenario(*parts)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("do", [event("1ms", "suspend"), clone()])
def test_techniques_that_cannot_be_copied_say_why(do: str) -> None:
    with pytest.raises(InputError, match="its VMM keeps what is not made again .*; expected"):
        scenario(do, technique="pvm")


def test_a_balloon_target_has_a_short_form() -> None:
    parts = ('[balloon]\npolicy = "fixed"',)
    short = scenario(*parts, '[[event]]\nat = "1ms"\nvm = "base"\nballoon = "4M"')
    assert short == scenario(*parts, event("1ms", "balloon", size="4M"))


LIFE = (
    event("1ms", "snapshot", snapshot="cold"),
    event("2ms", "snapshot", snapshot="image", to="disk"),
    clone(start="2ms", count="3"),
    clone("base@image", "4ms", "late", restore='"eager"'),
    clone("base@cold", "5ms", "other", workload='"gups:size=2M,accesses=20k"'),
    event("3ms", "suspend", "web-1"),
    event("6ms", "resume", "web-1"),
    event("3ms", "suspend", "web-2", to="disk"),
    event("6ms", "resume", "web-2", restore="eager"),
    event("3ms", "crash", "web-3"),
    event("7ms", "start", "web-3"),
    event("8ms", "restore", snapshot="cold"),
    event("30ms", "delete", "late"),
)


@pytest.fixture(scope="module", params=["nested", "shadow"])
def lived(request: pytest.FixtureRequest) -> RunResult:
    return run(scenario(*LIFE, technique=request.param), workloads.of_vm, check=True)


def states(result: RunResult, vm: str) -> list[tuple[str, str]]:
    return [(moment.what, moment.state) for moment in result[vm].life]


def test_a_run_tells_the_life_of_each_vm(lived: RunResult) -> None:
    assert lived.end == "finished"
    assert states(lived, "web-1") == [
        ("clone", "running"), ("suspend", "suspended"), ("resume", "running"), ("end", "running"),
    ]  # fmt: skip
    assert states(lived, "web-2")[1:3] == [
        ("suspend", "suspended to disk"), ("resume", "running"),
    ]  # fmt: skip
    assert states(lived, "web-3")[1:3] == [("crash", "off"), ("start", "running")]
    assert states(lived, "late")[-2:] == [("delete", "deleted"), ("end", "deleted")]
    for vm in lived.vms:
        times = [moment.at for moment in vm.life]
        assert times == sorted(times)


def test_frames_and_storage_of_each_state(lived: RunResult) -> None:
    saved = lived["web-2"].life[1]
    assert saved.private == saved.shared == saved.page_tables == 0
    assert saved.storage > 800 and saved.seconds > saved.storage * 4096 / 2e9
    cloned = lived["web-1"].life[0]
    assert cloned.private == 0 and cloned.shared > 1000
    gone = lived["late"].life[-1]
    assert gone.private + gone.shared + gone.elsewhere + gone.storage + gone.page_tables == 0


def test_a_copy_goes_on_with_what_its_source_was_doing(lived: RunResult) -> None:
    whole = 60_000
    assert lived["base"].accesses > whole  # some again, since the snapshot
    assert 0 < lived["web-1"].accesses < whole
    assert lived["other"].accesses == 20_000


def test_a_scenario_with_lives_can_be_made_again_from_its_plain_data() -> None:
    one = scenario(*LIFE)
    assert restored(json.loads(json.dumps(asdict(one)))) == one


def test_a_run_with_lives_is_the_same_each_time() -> None:
    one, other = (run(scenario(*LIFE), workloads.of_vm).to_dict() for _ in range(2))
    for result in (one, other):
        del result["made"]
    assert json.dumps(one) == json.dumps(other)


def test_what_became_of_vms_is_printed(lived: RunResult) -> None:
    shown = terminal.text([lived]).splitlines()
    rows = [line.split() for line in shown if line.startswith("web-2")]
    assert [row[2] for row in rows[-4:]] == ["clone", "suspend", "resume", "end"]
    assert rows[-3][4:7] == ["suspended", "to", "disk"]


def test_a_run_without_events_prints_no_lives() -> None:
    plain = run(scenario(), workloads.of_vm)
    assert "Lives" not in terminal.text([plain])


MOVE = """
name = "moving"
[[host]]
name = "left"
memory = "32M"
preset = "skylake-sp"
quantum = 5_000
[[host]]
name = "right"
memory = "32M"
preset = "skylake-sp"
[[vm]]
name = "web"
memory = "8M"
technique = "nested"
workload = "guest:size=4M,accesses=600k,active=0.5,zero=0.1"
[[event]]
at = "4ms"
vm = "web"
do = "migrate"
to = "right"
bandwidth = "4G"
latency = "10us"
downtime = "500us"
"""


def test_a_vm_moves_in_a_scenario() -> None:
    result = run(parsing.parse(MOVE, "move.toml"), workloads.of_vm, check=True)
    (report,) = result.migrations
    assert report.outcome == "finished" and report.why == "downtime"
    assert [what for what, _ in states(result, "web")] == ["start", "migrate", "arrive", "end"]
    assert result["web"].accesses == 600_000
    assert "web: left to right, pre-copy: finished (downtime)" in terminal.text([result])
    assert len(result.vms) == 1 and "storage@right" in result.services


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("to = \"right\"", "to = \"rihgt\""), "unknown other host 'rihgt'; did you mean 'right'?"),
        (("to = \"right\"", "to = \"left\""), "unknown other host 'left'"),
        (("name = \"right\"", "name = \"left\""), "expected a name of its own for each host"),
        (("memory = \"8M\"", "memory = \"8M\"\nhost = \"middle\""), "unknown host 'middle'"),
        (("do = \"migrate\"", "do = \"migrate\"\nlog = \"pm\""), "migrate log"),
        (("do = \"migrate\"", "do = \"migrate\"\nmethod = \"post-copy\"\nfails = \"1ms\""),
         "has parts of its memory on both hosts"),
    ],
)  # fmt: skip
def test_a_move_that_cannot_be_is_one_sentence(change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError) as error:
        parsing.parse(MOVE.replace(*change), "move.toml")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_one_setting_of_events_is_changed_from_outside() -> None:
    changed = parsing.override(parsing.parse(MOVE, "move.toml"), "event.bandwidth", "2G")
    assert changed.events[0].action.bandwidth == 2 << 30
    with pytest.raises(InputError, match="unknown argument of an event 'bandwith'"):
        parsing.override(changed, "event.bandwith", "2G")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('technique = "nested"', 'technique = "shadow"'), "technique shadow has no nested table"),
        (('preset = "skylake-sp"', 'set = { ept_ad = "false" }'), "no A and D bits in EPT"),
    ],
)
def test_d_bits_that_are_not_there_are_not_read(change: tuple[str, str], message: str) -> None:
    text = MOVE.replace('do = "migrate"', 'do = "migrate"\nlog = "pml"').replace(*change)
    with pytest.raises(InputError) as error:
        run(parsing.parse(text, "move.toml"), workloads.of_vm)
    assert message in str(error.value) and "log = 'write-protection'" in str(error.value)
