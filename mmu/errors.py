"""The errors that a user meets, each one clear sentence and an exit code."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable


class MMULabError(Exception):
    """Base of the errors that are reported as one sentence, never a traceback."""

    exit_code = 1


class InputError(MMULabError):
    """The input or an option is wrong: the sentence names it and what was expected."""

    exit_code = 2


class RunError(MMULabError):
    """The input was fine but the run could not go on (out of frames, no space left)."""

    exit_code = 1


class Notice(UserWarning):
    """What a user should know of how the input was taken; nothing is wrong."""


def notice(text: str) -> None:
    """Says it once: one line on standard error from a command, a warning from Python."""
    warnings.warn(text, Notice, stacklevel=2)


def printable(name: str) -> str:
    """A file's name as it can be shown in a line: what is no character, or moves the cursor,
    as \\x and its bytes."""

    def shown(character: str) -> str:
        if character.isprintable():
            return character
        return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))

    return "".join(map(shown, name))


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return InputError(f"unknown {what} {name!r}; {hint}")


def check_range(what: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Raises InputError unless low <= value <= high. unit: what to write behind numbers."""
    if not low <= value <= high:
        raise InputError(f"{what}: {value:g}{unit}; expected {low:g} to {high:g}{unit}")


def check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    """Raises InputError, with the nearest known value, for one that is not known."""
    if value not in known:
        raise unknown(what, value, known)
