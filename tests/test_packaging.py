"""What is installed: one import name, with all that belongs to it and nothing else."""

from __future__ import annotations

import configparser
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from drivers import decoys

import mmulab
from mmulab import workloads
from mmulab.mmu.config.toml import tomllib

ROOT = Path(__file__).parent.parent
FOLDERS = ("mmulab", "mmu", "workloads", "plots", "coursework", "studies", "commands")


def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def dotted(folder: Path) -> str:
    """The import name of a folder of the checkout."""
    parts = folder.relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "mmulab" else ("mmulab", *parts))


def sources() -> list[Path]:
    return [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def test_every_folder_of_modules_is_listed() -> None:
    folders = {dotted(file.parent) for file in sources()}
    assert sorted(setup()["options"]["packages"].split()) == sorted(folders)


def test_every_package_lies_where_package_dir_says() -> None:
    lines = setup()["options"]["package_dir"].strip().splitlines()
    said = {name.strip(): folder.strip() for name, _, folder in (x.partition("=") for x in lines)}
    assert said == {dotted(ROOT / folder): folder for folder in FOLDERS}


def test_the_version_is_said_once() -> None:
    assert setup()["metadata"]["version"] == "attr: mmulab.__version__"
    assert importlib.metadata.version("mmulab") == mmulab.__version__


def test_toml_is_there_on_every_python() -> None:
    wanted = 'tomli>=2; python_version < "3.11"'
    assert wanted in setup()["options"]["install_requires"].splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built by the project's own build system from a copy of its files."""
    place = tmp_path_factory.mktemp("build")
    source = place / "source"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=unwanted)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["build-backend"]
    code = f"import {build} as build; build.build_wheel({str(place)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (made,) = place.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel alone is installed."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_a_wheel_holds_the_package_and_nothing_else(site: Path) -> None:
    info = f"mmulab-{mmulab.__version__}.dist-info"
    assert {each.name for each in site.iterdir()} == {"mmulab", info}


PROGRAMS = ("balloon_policy", "replacement_policy", "shadow_sync")


def is_of_instructors(file: Path) -> bool:
    """A worked solution of a program, which only a checkout has."""
    return file.parent.name in PROGRAMS and file.name in ("solution.txt", "explanation.md")


def test_a_wheel_holds_no_worked_solution_of_a_program(site: Path, tmp_path: Path) -> None:
    text = "\n".join(
        file.read_text() for file in (site / "mmulab").rglob("*") if file.suffix in (".txt", ".py")
    )
    for name in PROGRAMS:
        solution = ROOT / "coursework" / "assignments" / name / "solution.txt"
        (longest,) = sorted(solution.read_text().splitlines(), key=len)[-1:]
        assert longest not in text
        code = "from mmulab.commands.main import main; main()"
        arguments = ("solve", name.replace("_", "-"), "--student", "a", "-o", tmp_path / name)
        done = subprocess.run(
            [sys.executable, "-c", code, "assignment", *map(str, arguments)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site), "MMULAB_SEED": "s" * 20},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2 and "is not in a student's installation" in done.stderr
        assert not (tmp_path / name).exists()


def test_a_wheel_holds_every_module_and_all_data(site: Path) -> None:
    kinds = {".py", ".xz", ".json", ".toml", ".md", ".txt", ".typed", ".css", ".js"}
    wanted = {
        Path(*dotted(file.parent).split("."), file.name)
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.suffix in kinds and not file.is_relative_to(ROOT / "workloads/data")
    }
    wanted -= {each for each in wanted if is_of_instructors(each)}
    wanted |= {Path("mmulab/workloads/data", f"{name}.mmt.xz") for name in workloads.BUNDLED}
    wanted.add(Path("mmulab/py.typed"))
    installed = {file.relative_to(site) for file in (site / "mmulab").rglob("*") if file.is_file()}
    assert installed == wanted


def run_in(folder: Path, *arguments: str | Path, **environment: str) -> str:
    """What a program prints that Python runs in a folder, kernels as plain Python."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


SMALL = ("compare", "gups:size=64K,accesses=300", "--techniques", "native", "--plot", "a.svg")


def test_a_decoy_is_found_where_it_is_imported(tmp_path: Path) -> None:
    decoys.lay(tmp_path)
    for name in (*decoys.FOLDERS, *(file.removesuffix(".py") for file in decoys.FILES)):
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"], cwd=tmp_path, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (3, f"decoy: {name}\n")


def test_the_command_works_beside_a_users_own_files(site: Path, tmp_path: Path) -> None:
    decoys.lay(tmp_path)
    where = run_in(tmp_path, "-c", "import mmulab; print(mmulab.__file__)", PYTHONPATH=str(site))
    assert where.strip() == str(site / "mmulab" / "__init__.py")
    printed = run_in(tmp_path, "-m", "mmulab", *SMALL, PYTHONPATH=str(site))
    assert "gups:size=64K,accesses=300: 300 accesses" in printed
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    scripts = setup()["options.entry_points"]["console_scripts"]
    (entry,) = re.findall(r"^mmulab = (.*)$", scripts, re.M)
    module, _, function = entry.partition(":")
    code = f"import sys; sys.path.insert(0, ''); from {module} import {function}; {function}()"
    printed = run_in(tmp_path, "-c", code, "--version", PYTHONPATH=str(site))
    assert printed == f"mmulab, version {mmulab.__version__}\n"


def test_the_readmes_python_works_beside_a_users_own_files(site: Path, tmp_path: Path) -> None:
    decoys.lay(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.search(r"^From Python, .*\n\n((?:    .*\n)+)", readme, flags=re.M)
    assert match
    (tmp_path / "program.py").write_text(
        re.sub(r"^    ", "", match[1], flags=re.M).replace("accesses=1M", "size=64K,accesses=300")
    )
    assert run_in(tmp_path, "program.py", PYTHONPATH=str(site)) == ""
    assert (tmp_path / "gups.svg").read_bytes().startswith(b"<?xml")


def dependencies() -> str:
    """Where what mmulab needs is installed, for PYTHONPATH."""
    needed = ("click", "numpy", "numba", "llvmlite", "matplotlib", "backports")
    specs = [importlib.util.find_spec(name) for name in needed]
    places = [place for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return os.pathsep.join(dict.fromkeys(str(Path(place).parent) for place in places))


@pytest.mark.parametrize("start", [ROOT / "cli.py", "-m"], ids=["cli.py", "-m mmulab"])
def test_a_checkout_runs_with_nothing_installed(start: Path | str, tmp_path: Path) -> None:
    """-S: no site-packages, so that no installed mmulab, editable or not, is found."""
    folder = ROOT if start == "-m" else tmp_path
    name = ("-m", "mmulab") if start == "-m" else (start,)
    printed = run_in(folder, "-S", *name, "walk", "0x7f1234567abc", PYTHONPATH=dependencies())
    assert "nested: 24 memory references for 0x7f1234567abc" in printed
    code = "import mmulab.mmu; print(mmulab.mmu.__file__)"
    found = run_in(ROOT, "-S", "-c", code, PYTHONPATH=dependencies())
    assert Path(found.strip()) == ROOT / "mmu" / "__init__.py"
