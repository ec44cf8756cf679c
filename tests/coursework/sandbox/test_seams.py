"""The sandbox's own parts: layers, messages, limits and drivers."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.sandboxed import body, run

from mmulab.coursework import sandbox
from mmulab.coursework.sandbox import process
from mmulab.coursework.sandbox.inside import wire
from mmulab.mmu.errors import InputError, RunError


def test_nothing_is_run_where_a_layer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_START", process._START.replace(
        "main.main(", "from inside import landlock; landlock.version = lambda: 0; main.main("
    ))  # fmt: skip
    with pytest.raises(RunError, match="the sandbox lacks landlock: needs Linux"):
        with sandbox.terms(60):
            body("return 1")
    with sandbox.terms(60, unsafe=True) as terms:
        verdict = body("return 1")
    assert verdict.ok and set(terms.missing) == set(verdict.missing) == {"landlock"}
    assert "landlock" not in verdict.layers and terms.layers == verdict.layers


def test_messages_come_back_as_they_were() -> None:
    arrays = {"a": np.arange(6, dtype=np.uint16).reshape(2, 3), "b": np.zeros(0, bool),
              "c": np.array(2.5), "d": np.array([1, 2], ">i8")}  # fmt: skip
    data = wire.pack({"x": [1, "é"]}, arrays)
    length = wire.header_bytes(data)
    values, described, following = wire.open_header(data[8 : 8 + length])
    assert values == {"x": [1, "é"]} and following == len(data) - 8 - length
    found = wire.open_arrays(described, data[8 + length :])
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_limits_and_drivers_are_checked() -> None:
    with pytest.raises(InputError, match="sandbox limit cpu"):
        sandbox.Limits(cpu=0)
    with pytest.raises(ValueError, match="no driver"):
        sandbox.run("", "no_such_driver", {})
    with pytest.raises(RunError, match="needs the package no_such_package"):
        run("", preload=["no_such_package"])


def test_a_driver_that_does_not_start_is_our_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_START", "raise ImportError('something of ours')")
    with pytest.raises(RunError, match="the sandbox did not start: .*something of ours"):
        body("return 1")
