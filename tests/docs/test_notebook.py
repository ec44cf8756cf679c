"""docs/notebook.ipynb: valid, and its cells print what is stored with them.

Cells are run as plain Python, without Jupyter. To run the notebook anew after a change:

    jupyter nbconvert --to notebook --execute --inplace docs/notebook.ipynb
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from drivers import decoys

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
CONTENTS = json.loads(NOTEBOOK.read_text())
CELLS: list[dict[str, Any]] = CONTENTS["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def text_of(lines: str | list[str]) -> str:
    """The format has texts whole or as lists of lines."""
    return lines if isinstance(lines, str) else "".join(lines)


def test_structure() -> None:
    """As the schema of nbformat 4.5 has it (jupyter/nbformat, nbformat.v4.5.schema.json)."""
    assert (CONTENTS["nbformat"], CONTENTS["nbformat_minor"]) == (4, 5)
    assert set(CONTENTS) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert CONTENTS["metadata"]["kernelspec"]["name"] == "python3"
    identities = [cell["id"] for cell in CELLS]
    assert len(set(identities)) == len(identities)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in identities)
    for cell in CELLS:
        needed = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            needed |= {"execution_count", "outputs"}
        else:
            assert cell["cell_type"] == "markdown"
        assert set(cell) == needed
    assert NOTEBOOK.stat().st_size < 500_000


def test_is_executed_in_order_without_errors() -> None:
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    for cell in CODE:
        for output in cell["outputs"]:
            assert output["output_type"] in ("stream", "execute_result"), output
            assert output.get("name", "stdout") == "stdout", output
    figures = [o for cell in CODE for o in cell["outputs"] if "image/png" in o.get("data", {})]
    assert len(figures) >= 5
    for figure in figures:
        image = base64.b64decode(text_of(figure["data"]["image/png"]))
        assert image.startswith(b"\x89PNG\r\n") and len(image) > 5000


def run_cell(source: str, variables: dict[str, Any]) -> tuple[str, Any]:
    """What a cell prints, and the value of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, NOTEBOOK.name, "exec"), variables)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), variables)
    return printed.getvalue(), value


def test_cells_print_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of the user's own, whose files have names that mmulab has inside itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(decoys.lay(tmp_path))
    variables: dict[str, Any] = {"__name__": "__main__"}
    for cell in CODE:
        printed, value = run_cell(text_of(cell["source"]), variables)
        stored = "".join(
            text_of(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream"
        )
        assert printed == stored
        results = [o for o in cell["outputs"] if o["output_type"] == "execute_result"]
        assert (value is None) == (not results)
        for result in results:
            assert ("image/png" in result["data"]) == hasattr(value, "_repr_png_")
            if hasattr(value, "_repr_png_"):
                assert value._repr_png_().startswith(b"\x89PNG\r\n")
