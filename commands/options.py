"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmulab import api, arguments
from mmulab.commands.completion import of_keys, of_presets
from mmulab.commands.values import Bytes
from mmulab.mmu.config import TECHNIQUES
from mmulab.mmu.errors import InputError, check_choice, unknown
from mmulab.mmu.presets import DEFAULT

if TYPE_CHECKING:
    from mmulab.mmu.config import Config
    from mmulab.mmu.presets.preset import Preset
    from mmulab.mmu.trace import Trace


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What describes the simulated machine; the defaults are those of mmu.config.Config."""
    options = [
        click.option("--preset", default=DEFAULT, show_default=True, metavar="NAME",
                     help="Processor: a name that `mmulab presets` lists, or a preset file, "
                     "NAME.toml.", shell_complete=of_presets),
        click.option("--page-size", default="4k", show_default=True, metavar="SIZE",
                     help="Guest pages: 4k, 2m, 1g, or thp (2m where a mapping allows it)."),
        click.option("--host-page-size", default="4k", show_default=True, metavar="SIZE",
                     help="Pages that the VMM backs guest memory with: 4k, 2m, 1g."),
        click.option("--levels", type=int, default=4, show_default=True,
                     help="Levels of the guest's page table: 4 or 5; on Arm and RISC-V 3 to 5."),
        click.option("--host-levels", type=int, default=0,
                     help="Levels of the nested page table: 4 or 5, 4 unless given; on Arm and "
                     "RISC-V see docs/presets.md."),
        click.option("--memory", type=Bytes(), default="16G", show_default=True,
                     help="Guest memory."),
        click.option("--host-memory", type=Bytes(), default="0",
                     help="Host memory; an eighth more than the guest's unless given."),
        click.option("--shadow-policy", default="unsync", show_default=True, metavar="POLICY",
                     help="On guest PTE writes: unsync (as KVM) or trap (every write)."),
        click.option("--guest-allocator", default="buddy", show_default=True, metavar="NAME",
                     help="Where guest pages lie: buddy, or ptemagnet (eight neighbouring pages "
                     "in neighbouring frames)."),
        click.option("--guest-thp", default="fault", show_default=True, metavar="POLICY",
                     help="With --page-size thp, when the guest makes pages of 2m: fault (at first "
                     "touches), never, linux (and by khugepaged), ingens, hawkeye; parameters as "
                     "in linux:max_ptes_none=0."),
        click.option("--pcid/--no-pcid", default=None, help="Guest uses PCIDs."),
        click.option("--vpid/--no-vpid", default=None, help="TLB entries tagged with a VPID."),
        click.option("--ept-ad/--no-ept-ad", default=None, help="EPT accessed and dirty bits."),
        click.option("--walk-caches/--no-walk-caches", default=None,
                     help="Paging-structure caches and nested TLB."),
        click.option("--caches", default="sampled", show_default=True, metavar="HOW",
                     help="The program's data in the caches: sampled, exact, or off (page tables "
                     "alone)."),
        click.option("--llc", default="socket", show_default=True, metavar="SIZE",
                     help="Last cache that the VM has: socket (all of it), slice (a core's), or "
                     "bytes."),
        click.option("--seed", type=int, default=1, show_default=True,
                     help="Of generators and random replacement."),
        click.option("--guest-tables", default="", metavar="DUMP",
                     help="Page tables dumped from a guest, in place of the simulated one's."),
        click.option("--host-tables", default="", metavar="DUMP",
                     help="Those of its host: what backs its memory."),
        click.option("--cores", type=int, default=1, show_default=True,
                     help="Cores on which the trace's threads and processes run."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                     shell_complete=of_keys,
                     help="Change a number of the preset, e.g. cost.vm_exit=2000, "
                     "tlb.stlb.ways=8. Repeatable."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def machine(
    options: dict[str, Any], walk_caches: bool, techniques: str = ""
) -> tuple[Preset, Config]:
    """(preset with its overrides, Config) from the options above. walk_caches: whether there
    are, where no option says so. techniques: whose costs can be overridden besides."""
    names = arguments.Machine.__annotations__
    chosen: Any = {name: options[name] for name in names}
    if chosen["walk_caches"] is None:
        chosen["walk_caches"] = walk_caches
    changes = arguments.pairs(options["overrides"], "--set")
    return arguments.machine(options["preset"], changes, chosen, techniques)


def load_config(ctx: click.Context, _param: click.Parameter, path: str | None) -> str | None:
    """--config: a TOML file whose keys are the command's options, as defaults."""
    if path is None or ctx.resilient_parsing:
        return path
    from mmulab.mmu.config.toml import dotted, tomllib

    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"config {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config {path}: not TOML: {error}") from None
    known = {p.name: p for p in ctx.command.params if p.name and p.name != "config"}
    known["set"] = known.pop("overrides")
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise InputError(f"config {path}: {unknown('key', key, known)}")
        if name == "set":
            if not isinstance(value, dict):
                raise InputError(f"config {path}: set: expected a table of KEY = VALUE")
            defaults["overrides"] = [f"{k}={v}" for k, v in dotted(value)]
        elif isinstance(value, list) and known[name].nargs == 1 and not known[name].multiple:
            defaults[name] = ",".join(map(str, value))
        else:
            defaults[name] = value
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _width(text: str) -> float:
    """Inches of a length such as 3.3in, 84mm or 8.4cm. Raises InputError."""
    units = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
    number = text.strip().lower()
    for unit, inches in units.items():
        with suppress(ValueError):
            width = float(number.removesuffix(unit)) * inches if number.endswith(unit) else 0.0
            if 1 <= width <= 40:
                return width
    raise InputError(f"--width {text}: expected 1in to 40in, such as 3.3in or 84mm")


def _set_look(_ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    from mmulab.plots import figures

    known = figures.look.get()
    if param.name == "width":
        figures.look.set(known._replace(width=_width(value) if value else 0.0))
    else:
        check_choice("--style", value or "notebook", tuple(figures.STYLES))
        figures.look.set(known._replace(style=value or "notebook"))


def figure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a command's figure looks."""
    for name, metavar, text in (
        ("--width", "LENGTH", "Of the figure, such as 3.3in or 84mm."),
        ("--style", "NAME", "Of the figure: notebook, paper or slides."),
    ):
        command = click.option(
            name, metavar=metavar, expose_value=False, callback=_set_look, help=text
        )(command)
    return command


def resolve(
    traces: tuple[str, ...], format_: str | None, seed: int = 1, levels: int = 5
) -> list[Trace]:
    """The traces that a command is given; a bundled one without any."""
    specs = traces or (arguments.DEFAULT_TRACE,)
    return [api.trace(spec, format=format_, seed=seed, levels=levels) for spec in specs]


@contextmanager
def together() -> Iterator[None]:
    """Outputs that are written within it take their places at its end, all or none."""
    from mmulab.mmu.report import files

    with files.together():
        yield


def write_text(path: str | None, render: Callable[[], str]) -> None:
    """Writes a text to a file, whole or not at all, or to standard output for '-'."""
    from mmulab.mmu.report.files import replacing

    if path == "-":
        click.echo(render(), nl=False)
    elif path:
        with replacing(path) as temporary:
            temporary.write_text(render(), encoding="utf-8", errors="backslashreplace")


def check_outputs(plot_path: str | None, **paths: str | None) -> None:
    """Raises InputError where an output could not be written, or two are one file, before
    work begins."""
    from mmulab.mmu.report.files import check_apart, check_writable

    if plot_path:
        from mmulab.plots.figures import check_path

        check_path(plot_path)
    for what, path in paths.items():
        if path and path != "-":
            check_writable(path, what)
    every = {"plot": plot_path, **paths}
    check_apart({what: path for what, path in every.items() if path})


def say_if_cold(*techniques: str, modules: Sequence[str] = ()) -> None:
    """The first run compiles; says what it waits for. techniques: lists of specs, those that the
    command runs. modules: of `mmu`, whose entries it calls besides."""
    from mmulab.mmu.kernels.cache import is_cold
    from mmulab.mmu.machine import parts
    from mmulab.mmu.techniques import specs

    lists = techniques or (TECHNIQUES,)
    if parts.is_cold(spec for each in lists for spec in specs.parse_all(each)):
        click.echo("compiling the simulator for this machine, once; 5 to 20 seconds ...", err=True)
    elif any(is_cold(f"mmulab.mmu.{module}") for module in modules):
        click.echo("compiling more of the simulator, once; 5 to 20 seconds ...", err=True)
