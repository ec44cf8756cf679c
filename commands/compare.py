"""`mmulab compare`: a trace through several techniques, side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from commands import options
from commands.values import Count


@click.command()
@click.argument("traces", nargs=-1, metavar="[TRACE]...")
@click.option(
    "--techniques",
    default="native,shadow,nested",
    show_default=True,
    metavar="LIST",
    help="Comma-separated, in the order of the table.",
)
@options.machine_options
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
    callback=options.load_config,
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
    preset, config = options.machine(machine, walk_caches=True)
    names = [name.strip() for name in techniques.split(",") if name.strip()]
    sources = _resolve(traces, format_, config)
    options.say_if_cold()
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
