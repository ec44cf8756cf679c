"""Standard input, output and error where they are closed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

#: Opened the wrong way round, so that reading and writing fail as they do on a closed one. What
#: would go to standard error is dropped: there is nowhere to say that it is closed.
_CLOSED = (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))


def open_closed() -> bool:
    """Fills those that are closed, lest a file that is opened later take their numbers; True
    where standard output is among them."""
    was_closed = sys.stdout is None
    for number, (name, mode, flags) in enumerate(_CLOSED):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, flags)
            if handle == number:
                os.set_inheritable(handle, True)
            else:
                os.dup2(handle, number)
                os.close(handle)
            setattr(sys, name, open(number, mode, errors="backslashreplace", closefd=False))  # noqa: SIM115
        elif mode == "w" and hasattr(getattr(sys, name), "reconfigure"):
            # Names of files need not be UTF-8.
            getattr(sys, name).reconfigure(errors="backslashreplace")
    return was_closed


def drop_output() -> None:
    """Lets standard output end without another error."""
    null = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(null, sys.stdout.fileno())
    os.close(null)
