"""`mmulab completion`: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

from typing import Any

import click


def of_presets(_ctx: Any, _param: Any, begun: str) -> list[str]:
    """Names of presets."""
    from mmulab.mmu import presets

    return [name for name in presets.names() if name.startswith(begun)]


def of_techniques(_ctx: Any, _param: Any, begun: str) -> list[str]:
    """Names of techniques, the last of a list with commas."""
    from mmulab.mmu.techniques import registry

    before, comma, last = begun.rpartition(",")
    return [before + comma + name for name in registry.names() if name.startswith(last)]


def of_traces(_ctx: Any, _param: Any, begun: str) -> list[Any]:
    """Bundled traces, generators, a generator's parameters, and files."""
    from click.shell_completion import CompletionItem

    from mmulab.workloads import BUNDLED, generators

    name, colon, rest = begun.partition(":")
    if colon and name in generators.names():
        before, _, last = f":{rest}".rpartition("," if "," in rest else ":")
        lead = f"{name}{before}," if "," in rest else f"{name}:"
        known = [each for each in generators.parameters_of(name) if each.startswith(last)]
        return [f"{lead}{each}=" for each in known]
    named = [*(f"@{each}" for each in BUNDLED), *generators.names()]
    found: list[Any] = [each for each in named if each.startswith(begun)]
    return [*found, CompletionItem(begun, type="file")]


def of_keys(ctx: Any, _param: Any, begun: str) -> list[str]:
    """Keys of `--set`, of the preset that the line names."""
    from mmulab.mmu import presets
    from mmulab.mmu.presets.overrides import settable

    name = ctx.params.get("preset")
    preset = presets.load(name if name in presets.names() else presets.DEFAULT)
    return [f"{key}=" for key in settable(preset) if key.startswith(begun)]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what has SHELL complete commands, options, presets, techniques and traces.

    For bash, in ~/.bashrc: eval "$(mmulab completion bash)"
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None  # of the choices above
    click.echo(found(ctx.find_root().command, {}, "mmulab", "_MMULAB_COMPLETE").source())
