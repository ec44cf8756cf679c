"""The command `mmulab`: its commands, and what every error of theirs comes to."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from contextlib import suppress
from typing import Any, NoReturn

import click

from mmulab import __version__
from mmulab.commands import signals, standard
from mmulab.commands.assignment import assignment
from mmulab.commands.blame import blame
from mmulab.commands.calibrate import calibrate
from mmulab.commands.compare import compare
from mmulab.commands.completion import completion
from mmulab.commands.consolidate import consolidate
from mmulab.commands.dedup import dedup
from mmulab.commands.lists import presets, techniques, workloads
from mmulab.commands.mrc import mrc
from mmulab.commands.report import report
from mmulab.commands.rerun import rerun
from mmulab.commands.results import results
from mmulab.commands.run import run
from mmulab.commands.sweep import sweep
from mmulab.commands.trace import trace
from mmulab.commands.validate import validate
from mmulab.commands.walk import walk
from mmulab.mmu.errors import InputError, MMULabError, Notice, printable
from mmulab.mmu.report import made


class _Commands(click.Group):
    """Notes the command line, which results name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        made.command.set(("mmulab", *args))
        return super().parse_args(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mmulab")
def cli() -> None:
    """What does address translation cost on bare metal, under shadow page tables and
    under nested page tables? One memory trace, side by side."""


for _command in (
    compare,
    walk,
    run,
    consolidate,
    mrc,
    blame,
    sweep,
    results,
    report,
    dedup,
    trace,
    workloads,
    techniques,
    presets,
    assignment,
    rerun,
    calibrate,
    validate,
    completion,
):
    cli.add_command(_command)


def main() -> None:
    """Runs the command; every error is one sentence and an exit code."""
    with signals.heeded():
        try:
            _main()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            if not signals.came():
                raise
            _fail_of_signal()  # what the exception became on its way through a library


def _main() -> None:
    was_closed = standard.open_closed()
    _show_notices()
    try:
        _check_environment()
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
        _fail_of_signal()
    except BrokenPipeError:
        standard.drop_output()
        sys.exit(1)
    except MemoryError:
        _fail("out of memory; give --memory less, or free some", 1)
    except OSError as error:
        _fail_of_system(error, was_closed)


def _show_notices() -> None:
    """Has a Notice shown as one line; other warnings stay as they are."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            click.echo(f"mmulab: {message}", err=True)
        else:
            others(message, category, *where, **more)

    warnings.showwarning = show


def _check_environment() -> None:
    """Numba's own errors for a bad number of threads are tracebacks."""
    threads = os.environ.get("NUMBA_NUM_THREADS", "1").strip()
    if not (threads.isascii() and threads.isdigit() and int(threads)):
        raise InputError(f"NUMBA_NUM_THREADS={threads}: expected a whole number from 1")


def _fail_of_signal() -> NoReturn:
    _fail(signals.told(), 1)


def _fail_of_system(error: OSError, was_closed: bool) -> NoReturn:
    if error.errno == errno.ENOSPC:
        _fail("no space left on the device", 1)
    if error.errno == errno.EBADF and was_closed:
        standard.drop_output()
        _fail("standard output is closed", 1)
    _fail(str(error), 1)


def _fail(message: str, code: int) -> NoReturn:
    with suppress(OSError):  # standard error is full or a broken pipe: the code says it
        # Of a name that is shown in it, what steers a terminal is escaped.
        shown = "\n".join(map(printable, message.split("\n")))
        click.echo(f"mmulab: {shown}", err=True)
    sys.exit(code)
