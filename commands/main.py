"""The command `mmulab`: its commands, and what every error of theirs comes to."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from typing import Any

import click

from mmulab import __version__
from mmulab.commands.assignment import assignment
from mmulab.commands.compare import compare
from mmulab.commands.dedup import dedup
from mmulab.commands.lists import presets, techniques, workloads
from mmulab.commands.mrc import mrc
from mmulab.commands.progress import heed_interrupts
from mmulab.commands.run import run
from mmulab.commands.trace import trace
from mmulab.commands.walk import walk
from mmulab.mmu.errors import MMULabError, Notice


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mmulab")
def cli() -> None:
    """What does address translation cost on bare metal, under shadow page tables and
    under nested page tables? One memory trace, side by side."""


for _command in (
    compare,
    walk,
    run,
    mrc,
    dedup,
    trace,
    workloads,
    techniques,
    presets,
    assignment,
):
    cli.add_command(_command)


def main() -> None:
    """Runs the command; every error is one sentence and an exit code."""
    heed_interrupts()
    _show_notices()
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


def _show_notices() -> None:
    """Has a Notice shown as one line; other warnings stay as they are."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            click.echo(f"mmulab: {message}", err=True)
        else:
            others(message, category, *where, **more)

    warnings.showwarning = show


def _fail(message: str, code: int) -> None:
    click.echo(f"mmulab: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
