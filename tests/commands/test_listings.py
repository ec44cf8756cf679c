"""What the commands that list and explain print."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.command_line import check_error

from mmulab.commands import main
from mmulab.plots.terminal.presets import number


def test_walk_prints_24_references_for_a_cold_nested_walk(mmulab) -> None:  # type: ignore
    result = mmulab("walk", "0x7f1234567000", "--techniques", "nested")
    numbered = [line for line in result.out.splitlines() if line[:3].strip().isdigit()]
    assert result.code == 0
    assert len(numbered) == 24


@pytest.mark.parametrize("command", ["presets", "workloads"])
def test_listings(mmulab, command: str) -> None:  # type: ignore
    result = mmulab(command)
    assert result.code == 0 and len(result.out.splitlines()) > 5


def test_every_number_of_a_preset_is_listed_with_a_source(mmulab) -> None:  # type: ignore
    from mmulab.mmu import presets
    from mmulab.mmu.techniques import registry
    from mmulab.mmu.techniques.specs import costs

    for name in presets.names():
        out = " ".join(mmulab("presets", name).out.split())
        preset = presets.load(name)
        for structure in (*preset.tlbs, *preset.walk_caches, *preset.caches):
            assert " ".join(structure.source.split()) in out
        for key, cited in (costs(registry.built_in()) | preset.costs).items():
            assert f"cost.{key}: {number(cited)} {' '.join(cited.source.split())}" in out


def test_techniques_are_listed(mmulab) -> None:  # type: ignore
    from mmulab.mmu.techniques import registry

    head, *lines = mmulab("techniques").out.splitlines()
    assert head.split()[0] == "technique"
    listed = [line.split()[0] for line in lines]
    assert listed == list(registry.of_package())
    assert listed[:3] == ["native", "shadow", "nested"]


def test_all_that_a_technique_says_of_itself_is_listed(mmulab) -> None:  # type: ignore
    from mmulab.mmu.techniques import registry

    for technique in registry.built_in():
        out = " ".join(mmulab("techniques", technique.name).out.split())
        said = [technique.summary, technique.source, *technique.assumptions]
        for parameter in technique.parameters:
            values = f"{parameter.low:,} to {parameter.high:,}"
            if parameter.choices:
                values = ", ".join(parameter.choices)
            said += [f"{parameter.name}: {values}; default", parameter.meaning]
        said += [f"exits.{each.reason}: {each.label}" for each in technique.exits]
        said += [f"{each.name}: {each.meaning}" for each in technique.counters]
        for name, cost in technique.costs.items():
            said.append(f"cost.{technique.name}.{name}: {number(cost)} {cost.source}")
        for text in said:
            assert " ".join(text.split()) in out
        assert ("runs a VMM below the guest" in out) == technique.virtual


def test_a_technique_that_is_not_there_is_one_sentence(mmulab) -> None:  # type: ignore
    check_error(mmulab("techniques", "shadw"), 2, "did you mean 'shadow'?")


@pytest.mark.parametrize("name", sorted(main.cli.commands))
def test_each_command_has_help_and_is_in_the_readme(mmulab, name: str) -> None:  # type: ignore
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert mmulab(name, "--help").code == 0
    assert main.cli.commands[name].help
    assert f"mmulab {name}" in readme
