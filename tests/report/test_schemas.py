"""What is written as JSON is what the shipped schemas say; and they say something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmulab.mmu.report import schemas
from mmulab.plots.pages import saved
from mmulab.rerun import differences
from mmulab.studies.study import parse

jsonschema = pytest.importorskip("jsonschema")

SMALL = "gups:size=1M,accesses=5K"
MACHINE = ["--preset", "skylake-sp"]
COMMANDS = {
    "comparison": ["compare", SMALL, "@shell", *MACHINE, "--techniques", "native,shadow,nested"],
    "blame": ["blame", SMALL, *MACHINE],
    "estimates": ["compare", SMALL, *MACHINE, "--techniques", "native,nested", "--jobs", "1",
                  "--intervals", "smarts:unit=100,units=20,warmup=100"],
    "scenario": ["run", "@double-paging", "--compare", "--set",
                 "vm.workload=zipf:keys=2k,accesses=20K"],
    "consolidation": ["consolidate", "@consolidation", "--most", "2", "--mechanisms", "ksm",
                      "--set", "vm.workload=zipf:keys=2k,accesses=20K"],
    "miss-ratio": ["mrc", SMALL],
    "geometries": ["mrc", SMALL, "--sets", "16", "--l1", "4x2"],
    "trace-info": ["trace", "info", SMALL],
}  # fmt: skip


def check(name: str, plain: Any) -> None:
    jsonschema.Draft202012Validator(schemas.load(name)).validate(plain)


@pytest.mark.parametrize("name", schemas.names())
def test_a_schema_is_one(name: str) -> None:
    schema = schemas.load(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == f"mmulab.{name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_results(mmulab, name: str) -> None:  # type: ignore
    result = mmulab(*COMMANDS[name], "--json", "-")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    for one in found if isinstance(found, list) else [found]:
        check(name, one)
        check_lacks(name, one)
        check_is_read(one)


def check_is_read(plain: dict[str, Any]) -> None:
    """It is read again, and is what it was; of a curve, only its sizes are known."""
    sizes = (plain["entries"],) if "curves" in plain else ()
    again = json.loads(json.dumps(saved.read(plain, "result").to_dict(*sizes)))
    found = [where for where, _, _ in differences(plain, again)]
    assert [where for where in found if "entries_for_hit_ratio" not in where] == []


def check_lacks(name: str, plain: dict[str, Any]) -> None:
    """Without a key that the schema wants, or with another type there, it is refused."""
    validator = jsonschema.Draft202012Validator(schemas.load(name))
    for key in schemas.load(name)["required"]:
        lacking = {each: value for each, value in plain.items() if each != key}
        assert not validator.is_valid(lacking), key
        assert not validator.is_valid({**plain, key: object}), key


def test_dedup(mmulab, tmp_path: Path) -> None:  # type: ignore
    image = tmp_path / "image"
    image.write_bytes(bytes(8192) + b"a" * 8192)
    found = json.loads(mmulab("dedup", image, "--json", "-").out)
    for one in found if isinstance(found, list) else [found]:
        check("dedup", one)
        check_lacks("dedup", one)
        check_is_read(one)


def test_studies(mmulab, tmp_path: Path) -> None:  # type: ignore
    axes = {"tlb.stlb.ways": ["12", "8"], "tlb.stlb.entries": ["1536", "1024"]}
    study = parse({"traces": [SMALL], "preset": "skylake-sp", "axes": axes}, "a")
    from mmulab.studies.sweep import sweep

    sweep(study, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "study.json").read_text())
    check("study", manifest)
    check_lacks("study", manifest)
    rows = json.loads(mmulab("results", "show", tmp_path / "out", "--json", "-").out)
    check("rows", rows)
    assert any(row["failure"] for row in rows["rows"])


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for each in schema.values():
            yield from objects(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects(each)


@pytest.mark.parametrize("name", schemas.names())
def test_what_is_wanted_is_described(name: str) -> None:
    for each in objects(schemas.load(name)):
        assert set(each["required"]) <= set(each["properties"])


def test_the_command_prints_them(mmulab) -> None:  # type: ignore
    assert mmulab("results", "schema").out.split() == list(schemas.names())
    assert json.loads(mmulab("results", "schema", "rows").out) == schemas.load("rows")
    assert "did you mean 'rows'" in mmulab("results", "schema", "row").err
