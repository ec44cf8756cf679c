"""What the documentation shows is what the program prints.

Pages of docs/virtual-memory-of-vms are run block by block, in order, in one directory:

    ```toml      whose first line is `# NAME.toml`: written to that file
    ```python    executed
    ```console   each line `$ mmulab ...` run as a command, what stands below it compared with
                 what it prints; `...` stands for any text, as in doctest

Elsewhere, commands must exist with their options; those that run as they stand do run, with
fewer accesses.
"""

from __future__ import annotations

import difflib
import doctest
import gzip
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from drivers import decoys

from mmulab.commands import main
from mmulab.mmu.techniques import registry
from mmulab.workloads import generators

ROOT = Path(__file__).parents[2]
CHAPTER = ROOT / "docs" / "virtual-memory-of-vms"
PAGES = sorted(CHAPTER.glob("*.md"))
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def mmulab(arguments: list[str]) -> str:
    """Standard output of a command, run in this process; its error fails the test."""
    result = CliRunner().invoke(main.cli, arguments, prog_name="mmulab")
    if result.exit_code:
        pytest.fail(f"mmulab {shlex.join(arguments)}: {result.exception}\n{result.output}")
    return result.stdout


def blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.M | re.S)


def examples(block: str) -> list[tuple[str, str]]:
    """(command, expected output) of a console block."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.M)
    assert parts[0] == "", f"output without a command: {parts[0]}"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n")) + "\n"


def check_example(command: str, expected: str) -> None:
    first, _, rest = command.partition(" | ")
    name, *arguments = shlex.split(first)
    assert name == "mmulab"
    printed = mmulab(arguments)
    if rest:
        if not shutil.which(shlex.split(rest)[0]):
            return
        printed = subprocess.run(
            rest, shell=True, input=printed, capture_output=True, text=True, check=True
        ).stdout
    printed = tidy(printed)
    if not doctest.OutputChecker().check_output(tidy(expected), printed, doctest.ELLIPSIS):
        lines = difflib.unified_diff(
            expected.splitlines(), printed.splitlines(), "documented", "printed", lineterm=""
        )
        pytest.fail(f"$ {command}\n" + "\n".join(lines))


def test_there_is_a_chapter() -> None:
    assert len(PAGES) == 9
    index = (CHAPTER / "README.md").read_text()
    for page in PAGES:
        assert page.name == "README.md" or f"]({page.name})" in index
        assert page.name == "README.md" or examples(blocks_of(page, "console")[0])


def blocks_of(page: Path, language: str) -> list[str]:
    return [block for name, block in blocks(page.read_text()) if name == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_prints_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, block in blocks(page.read_text()):
        if language == "toml":
            name = re.match(r"# (\w+\.toml)\n", block)
            assert name, f"{page.name}: a toml block without a name"
            Path(name[1]).write_text(block)
        elif language == "python":
            exec(compile(block, page.name, "exec"), {})
        else:
            assert language == "console", f"{page.name}: {language} is not checked"
            for command, expected in examples(block):
                check_example(command, expected)


def test_a_wrong_output_is_found() -> None:
    command = "mmulab walk 0x7f1234567abc --techniques nested | grep references"
    check_example(command, "...: 24 memory references ...\n")
    with pytest.raises(pytest.fail.Exception, match=r"\+nested: 24 memory"):
        check_example(command, "nested: 25 memory references for 0x7f1234567abc\n")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_links_lead_somewhere(text: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text.read_text()):
        if not re.match(r"https?:", target):
            assert (text.parent / target.partition("#")[0]).exists(), target


def commands(text: Path) -> list[str]:
    """Commands in a text, in code spans and in code blocks of four spaces."""
    prose = re.sub(r"^```.*?^```$", "", text.read_text(), flags=re.M | re.S)
    spans = re.findall(r"`(mmulab [^`]+)`", prose)
    lines = re.findall(r"^ {4,}(?:pip .* && )?(mmulab .*?)(?:  +.*)?$", prose, flags=re.M)
    return [" ".join(command.split()) for command in spans + lines]


def find(command: str) -> tuple[click.Command, list[str]]:
    """The click command that a line names, and what follows its name."""
    words = shlex.split(command.replace("...", ""))[1:]
    group: click.Command = main.cli
    while isinstance(group, click.Group) and words and words[0] in group.commands:
        group = group.commands[words.pop(0)]
    return group, words


def every_command() -> list[tuple[str, str]]:
    return sorted({(text.name, each) for text in TEXTS for each in commands(text)})


@pytest.mark.parametrize(("where", "command"), every_command())
def test_command_exists(where: str, command: str) -> None:
    one, words = find(command)
    if words and words[0] != "--help":
        assert not isinstance(one, click.Group), f"{where}: {command}"
    known = {option for p in one.params for option in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "--"}
    options = {word for word in words if word.startswith("-") and len(word) > 1}
    assert options <= known, f"{where}: {command}: {options - known}"


ELSEWHERE = r"mmulab (assignment (new|solve|grade)|sweep|results|report)"


def runnable(command: str) -> bool:
    """Without placeholders; setting, grading, studies and reports have tests of their own."""
    one, words = find(command)
    words = [word for word in words if not word.startswith("--")]
    if isinstance(one, click.Group) or re.match(ELSEWHERE, command):
        return False
    needs = [p for p in one.params if isinstance(p, click.Argument) and p.required]
    return len(words) >= len(needs) and "..." not in command and not any(
        re.fullmatch(r"\[?[A-Z][A-Z=]*\]?", word) for word in words
    )  # fmt: skip


#: Traces that cannot be shortened, and are left out beside others.
BUNDLED = ("@python", "@xz", "@shell")


def shortened(word: str) -> str:
    """A generator's trace that does not say how long it is, a short one."""
    name, colon, _ = word.partition(":")
    if name not in generators.names() or "accesses=" in word:
        return word
    return f"{word}{',' if colon else ':'}accesses=20K"


def scaled(command: str) -> list[str]:
    """The command with little to do."""
    small = re.sub(r"accesses=\d+[KM]", "accesses=20K", command)
    small = re.sub(r"size=\d+(G|[1-9]\d\dM)", "size=64M", small)
    _, *words = shlex.split(small)
    if words[0] != "workloads":
        words = [shortened(word) for word in words]
    if any("accesses=" in word for word in words):
        words = [word for word in words if word not in BUNDLED]
    if "--warmup" in words:
        words[words.index("--warmup") + 1] = "1K"
    if words[0] in ("calibrate", "validate"):
        words += ["--seconds", "1"]
    if words[0] in ("run", "consolidate"):
        words += ["--set", "vm.workload=zipf:keys=2k,accesses=20K"]
    if words[0] == "consolidate":
        words += ["--most", "2"]
    return words


def each_once() -> list[tuple[str, str]]:
    """Commands that can be run, each where it stands first: by what is run of it."""
    found = {
        tuple(scaled(each[1])): each for each in reversed(every_command()) if runnable(each[1])
    }
    return sorted(found.values())


@pytest.mark.parametrize(("where", "command"), each_once())
def test_command_runs(
    where: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "docs" / "extending", tmp_path / "docs" / "extending")
    words = scaled(command)
    mmulab(words)
    if "--plot" in words:
        assert Path(words[words.index("--plot") + 1]).stat().st_size > 1000


def code_after(text: str, line: str) -> str:
    """The indented block that follows a line."""
    match = re.search(rf"^.*{re.escape(line)}.*\n\n((?:(?:    .*)?\n)+)", text, flags=re.M)
    assert match, line
    return re.sub(r"^    ", "", match[1], flags=re.M)


def test_readme_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = code_after((ROOT / "README.md").read_text(), "from a file:")
    Path("run.toml").write_text(block.replace("20M", "20K").replace("1000000", "10"))
    Path("mytrace.lackey.gz").write_bytes(gzip.compress(b" L 1000,8\n S 2000,4\n" * 50))
    printed = mmulab(["compare", "--config", "run.toml"])
    machine = "zen-4, cost.vm_exit=2000, guest pages thp"
    assert f"mytrace.lackey.gz: 90 accesses after 10 of warm-up; {machine}" in printed
    assert "native" not in printed


def test_readme_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(decoys.lay(tmp_path))
    block = code_after((ROOT / "README.md").read_text(), "From Python")
    exec(compile(block.replace("1M", "20K"), "README.md", "exec"), {})
    assert Path("gups.svg").read_bytes().startswith(b"<?xml")


def test_every_reason_of_an_exit_has_a_label() -> None:
    exits = [each for technique in registry.built_in() for each in technique.exits]
    labels = {each.reason: each.label for each in exits}
    assert len(set(labels.values())) == len(labels) > 0 and all(labels.values())
    assert all(labels[each.reason] == each.label for each in exits)  # a table has one row
