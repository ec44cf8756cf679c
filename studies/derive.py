"""`[derive]`: settings that follow from others.

    host_memory = "= {memory} * 9 / 8"
    trace = "gups:size={memory},accesses=1M"

What stands in braces is the value of that setting; a text that begins with = is arithmetic, in
which K, M, G and T are binary.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from mmulab.mmu.config.units import parse_bytes
from mmulab.mmu.errors import InputError, unknown

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?[KMGTkmgt]\b")


def derived(key: str, rule: str, settings: Mapping[str, str]) -> str:
    """The value that a rule gives. Raises InputError for a setting that is not there, or what
    is no arithmetic."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise InputError(f"derive {key}: {unknown('setting', match[1], settings)}")
        return settings[match[1]]

    filled = re.sub(r"\{([^{}]+)\}", value, rule)
    if not filled.startswith("="):
        return filled
    plain = _NUMBER.sub(lambda match: str(parse_bytes(match[0])), filled[1:].strip())
    try:
        number = _evaluated(ast.parse(plain, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError):
        raise InputError(
            f"derive {key}: {filled}: expected arithmetic of numbers: + - * / // %"
        ) from None
    return str(int(number)) if number == int(number) else repr(number)


def _evaluated(node: ast.AST) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluated(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        found: float = _OPERATORS[type(node.op)](_evaluated(node.left), _evaluated(node.right))
        return found
    raise ValueError
