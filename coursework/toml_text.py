"""TOML from people who may mean harm: parsed in little time and memory, or refused.

The standard library's parser is recursive and takes time quadratic in the parts of a
dotted key, so that a file of some kilobytes could stop a grader. What no honest file has
is refused before it is parsed.
"""

from __future__ import annotations

import re
from typing import Any

from mmulab.mmu.config.toml import tomllib

MOST_CHARACTERS = 200_000  # assumption: the longest filled-in answer file has some 10,000
MOST_NESTING = 50
MOST_DOTS = 10  # in one dotted key


class NotTOML(ValueError):
    """The text is not TOML; the message says where and why."""


def parse(text: str) -> dict[str, Any]:
    """The document. Raises NotTOML for anything else."""
    _check(text)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise NotTOML("is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError is one; so is an integer of 5,000 digits
        reason = str(error).splitlines()[0][:200]
        raise NotTOML(f"is not TOML: {reason}") from None


def _check(text: str) -> None:
    """Raises NotTOML for what would take the parser long. Brackets and dots in strings are
    counted like any other, which no answer comes near."""
    if len(text) > MOST_CHARACTERS:
        raise NotTOML(f"has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", "\n".join(lines)):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    if deepest > MOST_NESTING:
        raise NotTOML(f"is nested too deeply; at most {MOST_NESTING} brackets are read")
    for line in lines:
        if any(piece.count(".") > MOST_DOTS for piece in re.split(r"[,=#{}]", line)):
            raise NotTOML(f"has a key of more than {MOST_DOTS} dots")
