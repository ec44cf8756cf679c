"""Parameters of techniques: what `name:key=value` may say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmulab.mmu.errors import InputError, unknown


@dataclass(frozen=True)
class Parameter:
    """A parameter.

    choices: what it may be, as text; the first is the default unless an option of the run says
    otherwise. option: the field of `config.Config` that is the default for all techniques with
    this parameter; "" where there is none. Or low, high: a whole number in that range, whose
    default is `default`.
    """

    name: str
    meaning: str
    choices: Sequence[str] = ()
    option: str = ""
    low: int = 0
    high: int = 0
    default: int = 0

    def read(self, where: str, text: str) -> Any:
        """The value that a text says: one of the choices, or a number. Raises InputError."""
        value = text.strip().lower()
        if self.choices:
            if value not in self.choices:
                raise unknown(f"value of {where}", text, self.choices)
            return value
        try:
            number = int(value, 0)
        except ValueError:
            raise InputError(f"{where}={text}: expected a whole number") from None
        if not self.low <= number <= self.high:
            raise InputError(f"{where}={text}: expected {self.low:,} to {self.high:,}")
        return number

    def preset(self, config: Any) -> Any:
        """The value where the technique's spec does not say."""
        value = getattr(config, self.option) if self.option else None
        if isinstance(value, bool):
            return "on" if value else "off"
        if value is not None:
            return self.read(self.option, str(value))
        return self.choices[0] if self.choices else self.default


#: Pages that the VMM backs guest memory with, for techniques that have such a choice.
HOST_PAGE_SIZE = Parameter(
    "host_page_size",
    "pages that the VMM backs guest memory with",
    ("4k", "2m", "1g"),
    option="host_page_size",
)
