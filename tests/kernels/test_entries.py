"""What entries take and return: the same however they are loaded, and as in plain Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from drivers import throwaway

from mmulab.mmu.kernels import kinds, machine_code

NAME = "mmulab_entries_test"

MODULE = """
from typing import NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import entry

class Pair(NamedTuple):
    numbers: np.ndarray
    factor: float
    nothing: None

class Both(NamedTuple):
    pair: Pair
    flag: bool

@entry
def all_of(both, rows, strided, word, wanted=3):
    total = 0
    for number in both.pair.numbers:
        total += number
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            rows[i, j] += i * rows.shape[1] + j
    strided[1] = strided.shape[0]
    return total + wanted, both.pair.factor * 2, not both.flag, word + np.uint64(1)

@entry
def nothing(numbers):
    numbers[0] = 7

@entry
def one(flag):
    return flag
"""


@pytest.fixture(params=["compiled", "bare", "numba"])
def module(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[ModuleType]:
    """Its entries compiled here, or loaded without or with numba."""
    throwaway.put(tmp_path / f"{NAME}.py", MODULE)
    made = importlib.import_module(NAME)
    if request.param != "compiled":
        answers(made)
        if request.param == "numba":
            monkeypatch.setattr(machine_code, "AVAILABLE", False)
        del sys.modules[NAME]
        made = importlib.import_module(NAME)
    sys.modules.pop(NAME)
    yield made
    answers(made)
    entries = made.all_of, made.nothing, made.one
    loaded = [bool(each.loaded) for each in entries]
    assert loaded == [request.param != "compiled"] * 3
    (made_of,) = made.all_of._made.values()
    assert made_of._is_bare == (request.param == "bare" and machine_code.AVAILABLE)


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = np.arange(5)
    numbers.flags.writeable = False
    return numbers, np.zeros((2, 3), np.int32), np.zeros(8, np.int64)[::2]


def answers(module: Any) -> Any:
    numbers, rows, strided = arrays()
    both = module.Both(module.Pair(numbers, 1.25, None), True)
    found = module.all_of(both, rows, strided, 2**64 - 2, wanted=-4)
    assert module.nothing(np.zeros(1, np.int64)) is None
    assert module.one(True) is True
    return found, rows.tolist(), strided.tolist()


def test_values_go_in_and_come_out(module: Any) -> None:
    found, rows, strided = answers(module)
    assert found == (6, 2.5, False, 2**64 - 1)
    assert [type(each) for each in found] == [int, float, bool, int]
    assert (rows, strided) == ([[0, 1, 2], [3, 4, 5]], [0, 4, 0, 0])
    assert module.one(-(2**63)) == -(2**63)
    assert module.one(np.uint8(200)) == 200 and type(module.one(np.uint8(200))) is int
    assert module.one(0.1) == 0.1


def test_what_an_entry_cannot_take(cache: Path, tmp_path: Path) -> None:
    throwaway.put(tmp_path / f"{NAME}.py", MODULE)
    one = importlib.import_module(NAME).one
    for value, error in (([1], TypeError), ("1", TypeError), (2**64, OverflowError)):
        with pytest.raises(error):
            one(value)
    with pytest.raises(TypeError, match="missing a required argument"):
        one()
    del sys.modules[NAME]


def test_a_kind_is_one_object() -> None:
    words: list[int] = []
    for value in (1, True, 1.5, None, np.zeros(3), np.zeros((2, 2), "u1"), (1, (2.5, False))):
        assert kinds.take(value, words) is kinds.take(value, [])
    assert kinds.take(np.zeros(3), []) is kinds.array(np.float64)
    assert kinds.take(np.zeros((3, 3)).T, []) is kinds.array(np.float64, 2, "F")
    assert kinds.take(np.zeros(4)[::2], []) is kinds.array(np.float64, 1, "A")
    assert kinds.take(np.zeros(3), []) is not kinds.array(np.float64, readonly=True)
