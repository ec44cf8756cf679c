"""The command `mmulab`. Each command imports what it needs when it runs, so that
`mmulab --help` is instant."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mmu import __version__
from mmu.errors import InputError, MMULabError, unknown
from mmu.units import parse_bytes, parse_count

# --- Values ---------------------------------------------------------------------


class Bytes(click.ParamType):
    """A number of bytes with an optional binary suffix: 4096, 256M, 16G."""

    name = "bytes"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value)
        except ValueError:
            self.fail(f"{value!r}: expected a number of bytes, such as 4096, 256M or 16G")


class Count(click.ParamType):
    """A whole number with an optional decimal suffix: 500000, 20M."""

    name = "count"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            number = parse_count(value)
        except ValueError:
            number = -1
        if number < 0:
            self.fail(f"{value!r}: expected a whole number, such as 500000 or 20M")
        return number


class Address(click.ParamType):
    """A guest-virtual address, hexadecimal with 0x or decimal."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            number = int(value, 0)
        except ValueError:
            self.fail(f"{value!r}: expected an address such as 0x7f1234567000")
        if not 0 <= number < 1 << 64:
            self.fail(f"{value!r}: expected an address of 64 bits")
        return number


# --- Options that several commands share ----------------------------------------


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What describes the simulated machine; the defaults are those of mmu.config.Config."""
    options = [
        click.option("--preset", default="skylake-sp", show_default=True, metavar="NAME",
                     help="Processor; `mmulab presets` lists them."),
        click.option("--page-size", default="4k", show_default=True, metavar="SIZE",
                     help="Guest pages: 4k, 2m, 1g, or thp (2m where a mapping allows it)."),
        click.option("--host-page-size", default="4k", show_default=True, metavar="SIZE",
                     help="Pages that the VMM backs guest memory with: 4k, 2m, 1g."),
        click.option("--levels", type=int, default=4, show_default=True,
                     help="Levels of the guest's page table: 4 or 5."),
        click.option("--host-levels", type=int, default=4, show_default=True,
                     help="Levels of the nested page table: 4 or 5."),
        click.option("--memory", type=Bytes(), default="16G", show_default=True,
                     help="Guest memory."),
        click.option("--host-memory", type=Bytes(), default="0",
                     help="Host memory; an eighth more than the guest's unless given."),
        click.option("--shadow-policy", default="unsync", show_default=True, metavar="POLICY",
                     help="On guest PTE writes: unsync (as KVM) or trap (every write)."),
        click.option("--pcid/--no-pcid", default=None, help="Guest uses PCIDs."),
        click.option("--vpid/--no-vpid", default=None, help="TLB entries tagged with a VPID."),
        click.option("--ept-ad/--no-ept-ad", default=None, help="EPT accessed and dirty bits."),
        click.option("--walk-caches/--no-walk-caches", default=None,
                     help="Paging-structure caches and nested TLB."),
        click.option("--seed", type=int, default=1, show_default=True,
                     help="Of generators and random replacement."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                     help="Change a number of the preset, e.g. cost.vm_exit=2000, "
                     "tlb.stlb.ways=8. Repeatable."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _machine(options: dict[str, Any], walk_caches: bool) -> tuple[Any, Any]:
    """(preset with its overrides, Config) from the options above."""
    from mmu import presets
    from mmu.config import Config, override

    preset = presets.load(options["preset"])
    for item in options["overrides"]:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--set {item}: expected KEY=VALUE")
        preset = override(preset, key.strip(), value.strip())
    names = ("memory", "host_memory", "page_size", "host_page_size", "levels", "host_levels",
             "shadow_policy", "pcid", "vpid", "ept_ad", "seed")  # fmt: skip
    chosen = options["walk_caches"]
    config = Config(
        **{name: options[name] for name in names},
        walk_caches=walk_caches if chosen is None else chosen,
    )
    return preset, config


def _load_config(ctx: click.Context, _param: click.Parameter, path: str | None) -> str | None:
    """--config: a TOML file whose keys are the command's options, as defaults."""
    if path is None or ctx.resilient_parsing:
        return path
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        try:
            import tomli as tomllib  # type: ignore[no-redef]
        except ModuleNotFoundError:
            raise InputError(
                "--config needs Python 3.11 or the package tomli: pip install 'mmulab[toml]'"
            ) from None
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"config {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config {path}: not TOML: {error}") from None
    known = {p.name: p for p in ctx.command.params if p.name and p.name != "config"}
    known["set"] = known.pop("overrides", None)  # type: ignore[assignment]
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise InputError(f"config {path}: {unknown('key', key, known)}")
        if name == "set":
            if not isinstance(value, dict):
                raise InputError(f"config {path}: set: expected a table of KEY = VALUE")
            defaults["overrides"] = [f"{k}={v}" for k, v in _dotted(value)]
        elif isinstance(value, list) and known[name].nargs == 1 and not known[name].multiple:
            defaults[name] = ",".join(map(str, value))
        else:
            defaults[name] = value
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _dotted(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in table.items():
        if isinstance(value, dict):
            pairs += _dotted(value, f"{prefix}{key}.")
        else:
            pairs.append((prefix + key, value))
    return pairs


def _say_if_cold() -> None:
    """The first run compiles; say what it waits for."""
    from mmu.jit import is_cold

    if is_cold():
        click.echo("compiling the simulator for this machine, once; some 15 seconds ...", err=True)


# --- Commands -------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mmulab")
def cli() -> None:
    """What does address translation cost on bare metal, under shadow page tables and
    under nested page tables? One memory trace, side by side."""


@cli.command()
@click.argument("traces", nargs=-1, metavar="[TRACE]...")
@click.option(
    "--techniques",
    default="native,shadow,nested",
    show_default=True,
    metavar="LIST",
    help="Comma-separated, in the order of the table.",
)
@machine_options
@click.option(
    "--warmup",
    type=Count(),
    default="0",
    show_default=True,
    help="Accesses to simulate before counting begins.",
)
@click.option("--format", "format_", metavar="NAME", help="Trace format; detected unless given.")
@click.option("--check", is_flag=True, help="Verify the simulator's invariants as it runs (slow).")
@click.option("--json", "json_path", metavar="OUT", help="Write results as JSON ('-': stdout).")
@click.option("--csv", "csv_path", metavar="OUT", help="Write results as CSV ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw them: OUT.svg, .png or .pdf.")
@click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_load_config,
    help="TOML file with any of these options.",
)
def compare(traces: tuple[str, ...], techniques: str, warmup: int, format_: str | None,
            check: bool, json_path: str | None, csv_path: str | None, plot_path: str | None,
            **machine: Any) -> None:  # fmt: skip
    """Run each TRACE through translation techniques and compare what they cost.

    A TRACE is a file, '-' for standard input, or a generator such as
    gups:size=256M,accesses=20M (`mmulab workloads` lists them). Without one, a small
    real trace that comes with mmulab is used.
    """
    from mmu.files import check_writable

    if plot_path:
        from plots.figures import check_path

        check_path(plot_path)
    for path, what in ((json_path, "json"), (csv_path, "csv")):
        if path and path != "-":
            check_writable(path, what)
    preset, config = _machine(machine, walk_caches=True)
    names = [name.strip() for name in techniques.split(",") if name.strip()]
    sources = _resolve(traces, format_, config)
    _say_if_cold()
    from mmu import simulate
    from plots import text

    quiet = "-" in (json_path, csv_path)
    comparisons = []
    for trace in sources:
        with _progress(trace) as advance:
            comparison = simulate.compare(trace, preset, config, names, warmup, check, advance)
        comparisons.append(comparison)
        if not quiet:
            click.echo(text.table(comparison) + "\n")
    _write_results(comparisons, json_path, csv_path)
    if plot_path:
        from plots import compare as figure

        figure.write(comparisons, plot_path)


def _resolve(traces: tuple[str, ...], format_: str | None, config: Any) -> list[Any]:
    import workloads

    specs = traces or (str(workloads.bundled()),)
    bits = 12 + 9 * config.levels
    return [
        workloads.resolve(spec, format=format_, seed=config.seed, va_bits=bits) for spec in specs
    ]


@contextmanager
def _progress(trace: Any) -> Iterator[Callable[[int], None] | None]:
    """Progress on standard error, if that is a terminal: a bar where the trace's length
    is known, else a count."""
    if not sys.stderr.isatty():
        yield None
    elif trace.length:
        done = 0
        with click.progressbar(length=trace.length, label=trace.name, file=sys.stderr) as bar:

            def advance(now: int) -> None:
                nonlocal done
                bar.update(now - done)
                done = now

            yield advance
    else:
        yield lambda now: click.echo(f"\r{trace.name}: {now:,} accesses", nl=False, err=True)
        click.echo(err=True)


def _write_results(comparisons: list[Any], json_path: str | None, csv_path: str | None) -> None:
    from mmu import results
    from mmu.files import replacing

    for path, render in ((json_path, results.to_json), (csv_path, results.to_csv)):
        if path == "-":
            click.echo(render(comparisons), nl=False)
        elif path:
            with replacing(path) as temporary:
                temporary.write_text(render(comparisons), encoding="utf-8")


@cli.command()
@click.argument("gva", type=Address())
@click.option(
    "--techniques",
    default="native,shadow,nested",
    show_default=True,
    metavar="LIST",
    help="Comma-separated.",
)
@machine_options
@click.option("--store", is_flag=True, help="Walk for a store: D bits are set.")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw the grid: OUT.svg, .png or .pdf.")
def walk(gva: int, techniques: str, store: bool, plot_path: str | None, **machine: Any) -> None:
    """Print every memory reference of the page walk for GVA, in order.

    The page has been touched once; nothing is cached but, with --walk-caches, what the
    walk itself caches.
    """
    if plot_path:
        from plots.figures import check_path

        check_path(plot_path)
    preset, config = _machine(machine, walk_caches=False)
    _say_if_cold()
    from mmu import walkthrough
    from plots import text

    names = [name.strip() for name in techniques.split(",") if name.strip()]
    walks = [walkthrough.walk(gva, name, preset, config, store) for name in names]
    for one in walks:
        click.echo(text.walk_table(one) + "\n")
    if plot_path:
        from plots import walk as figure

        figure.write(walks, plot_path)


@cli.command()
@click.argument("name", required=False)
def presets(name: str | None) -> None:
    """List the processors, or every number of one with its source."""
    from mmu import presets as known
    from plots import preset_text

    if name is None:
        click.echo(preset_text.overview([known.load(each) for each in known.names()]))
    else:
        click.echo(preset_text.details(known.load(name)))


@cli.command()
@click.argument("name", required=False)
def workloads(name: str | None) -> None:
    """List the workload generators and their parameters."""
    from workloads import generators

    click.echo(generators.listing(name))


@cli.group()
def trace() -> None:
    """Record and inspect memory traces."""


@trace.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "-o",
    "--output",
    default="trace.mmt",
    show_default=True,
    metavar="FILE",
    help="Where to write; .gz and .xz compress.",
)
@click.option("--max", "maximum", type=Count(), help="Stop the program after so many accesses.")
@click.option("--skip", type=Count(), default="0", help="Leave out the first accesses.")
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- PROG [ARG]..."
)
def record(output: str, maximum: int | None, skip: int, command: tuple[str, ...]) -> None:
    """Run PROG under Valgrind and write its memory trace."""
    from workloads import record as recorder

    summary = recorder.record(list(command), output, max_accesses=maximum, skip=skip)
    click.echo(str(summary), err=True)


def main() -> None:
    """Runs the command; every error is one sentence and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except MMULabError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" Try '{context.command_path} --help'." if context else ""
        _fail(error.format_message().rstrip(".") + "." + hint, 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; nothing was written", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        _fail("out of memory; give --memory less, or free some", 1)
    except OSError as error:
        what = "no space left on the device" if error.errno == errno.ENOSPC else str(error)
        _fail(what, 1)


def _fail(message: str, code: int) -> None:
    click.echo(f"mmulab: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
