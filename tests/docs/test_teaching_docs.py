"""docs/teaching.md: its assignment works, its commands exist, its scripts run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mmulab.commands import main
from mmulab.coursework import assignments, grading

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "teaching.md").read_text()
SEED = "correct horse battery staple"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.M | re.S)


def test_the_example_is_a_whole_assignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("python")
    folder = tmp_path / "package" / "page_offset"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(example)
    paths = [*assignments.__path__, str(tmp_path / "package")]
    monkeypatch.setattr(assignments, "__path__", paths)
    module = f"{assignments.__name__}.page_offset"
    try:
        assert "page-offset" in assignments.names()
        grading.make("page-offset", {"ada": tmp_path / "a"}, SEED)
        grading.solve("page-offset", {"ada": tmp_path / "s"}, SEED)
        assert grading.grade(tmp_path / "a", SEED).earned == 0
        assert grading.grade(tmp_path / "s", SEED).earned == 10
        file = tmp_path / "s" / "answers.toml"
        file.write_text(re.sub(r"^offset = .*", "offset = 0", file.read_text(), flags=re.M))
        report = grading.grade(tmp_path / "s", SEED)
        assert report.earned == 5 and "What is left of the division" in report.results[0].feedback
    finally:
        sys.modules.pop(module, None)


def test_commands_and_options_exist() -> None:
    lines = [line.strip() for line in TEXT.replace("\\\n", "").splitlines()]
    commands = [re.split(r" [<>|] ", line[line.index("mmulab assignment") :])[0] for line in lines
                if re.match(r"(/\S*/)?mmulab assignment ", line)]  # fmt: skip
    assert len(commands) >= 8
    for command in commands:
        _, group, name, *arguments = shlex.split(command)
        found = main.cli.get_command(click.Context(main.cli), group)
        assert isinstance(found, click.Group)
        one = found.commands[name]
        known = {option for parameter in one.params for option in parameter.opts}
        assert {a for a in arguments if a.startswith("-")} <= known, command


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_run_autograder_writes_results(tmp_path: Path) -> None:
    script = next(block for block in blocks("bash") if "submission_metadata" in block)
    grading.solve("page-walk", {"ada@example.org": tmp_path / "submission"}, "your seed")
    (tmp_path / "submission" / "assignment.toml").unlink()
    (tmp_path / "results").mkdir()
    metadata = {"users": [{"email": "ada@example.org", "id": 1, "name": "Ada"}]}
    (tmp_path / "submission_metadata.json").write_text(json.dumps(metadata))
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    shim = programs / "mmulab"
    python, program = shlex.quote(sys.executable), shlex.quote(str(ROOT / "cli.py"))
    shim.write_text(f'#!/bin/sh\nexec {python} {program} "$@"\n')
    shim.chmod(0o755)
    (tmp_path / "run_autograder").write_text(script.replace("/autograder", str(tmp_path)))
    run = subprocess.run(
        ["bash", str(tmp_path / "run_autograder")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert sum(test["score"] for test in results["tests"]) == 100
    assert results["extra_data"]["student"] == "ada@example.org"
