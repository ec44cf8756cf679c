"""The command line, run in this process."""

from __future__ import annotations

import sys

import pytest
from drivers.command_line import Result

from mmulab.commands import main as cli


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests that take minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes, and is run with --long alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: --long"))


@pytest.fixture
def mmulab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):  # type: ignore
    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["mmulab", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        code = exit.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run
