"""Specs of generators: what is read, refused and listed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmulab.mmu.errors import InputError
from mmulab.workloads import generators


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gubs", "did you mean 'gups'"),
        ("gups:sise=1M", "did you mean 'size'"),
        ("gups:size", "expected KEY=VALUE"),
        ("gups:size=big", "expected a size in bytes"),
        ("gups:", "expected KEY=VALUE"),
        ("gups:size=1M,size=2M", "size is given twice"),
        ("gups:size=1", "from 4K to 16T"),
        ("chase:size=4K,node=8K", "node=8192: expected at most size=4096"),
        ("zipf:keys=4G,value=1M", "keys=4000000000: expected at most 524288"),
        ("microchurn:arena=1T", "from 4K to 512G"),
        ("gups:accesses=0", "from 1"),
        ("gups:accesses=1.5", "expected a number"),
        ("gups:accesses=nan", "expected a number"),
        ("gups:accesses=inf", "expected a number"),
        ("zipf:theta=1", "from 0.01 to 0.999"),
    ],
)
def test_bad_spec(spec: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        generators.create(spec)


def test_sizes_are_binary_and_counts_decimal() -> None:
    assert generators.create("gups:size=1M,accesses=1M").length == 1_000_000
    address = next(iter(generators.create("scan:size=1M,stride=1M,accesses=9").chunks())).address
    assert len(set(address.tolist())) == 1


@pytest.mark.parametrize("seed", [-1, 0, 1 << 62])
def test_bad_seed(seed: int) -> None:
    with pytest.raises(InputError, match="expected 1 to 2"):
        generators.create("gups", seed)


def test_the_registry_does_not_load_numba() -> None:
    code = (
        "import sys; from workloads import generators; generators.names(); "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_listing_has_each_parameter_with_its_default() -> None:
    text = generators.listing()
    assert all(f"{name}: " in text for name in generators.names())
    assert "size=256M" in text and "theta=0.99" in text and "accesses=20M" in text
    assert "zipf" not in generators.listing("gups")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mix:of=gups+nothing", "nothing"),
        ("mix:of=gups*0", "expected generators"),
        ("mix:of=mix", "cannot be part"),
        ("phases:of=churn", "makes processes"),
        ("matmul:n=10,block=3", "divisor"),
        ("triad:kernel=tetrad", "expected triad"),
    ],
)
def test_what_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        generators.create(spec)
