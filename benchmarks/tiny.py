"""`--tiny`: any benchmark here on so little input that it says only that the benchmark works."""

from __future__ import annotations

import sys
from typing import TypeVar

T = TypeVar("T")

TINY = "--tiny" in sys.argv[1:]

#: What the benchmark is told beside.
ARGUMENTS = [each for each in sys.argv[1:] if each != "--tiny"]


def sized(full: T, tiny: T) -> T:
    """The full size of something or, with --tiny, the other."""
    return tiny if TINY else full
