"""`mmulab report`: what stands in it, whatever it is written as."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from drivers.browser import LOOKS, visit
from drivers.command_line import check_error

import mmulab as package
from mmulab.mmu.report.results import Comparison, to_json
from mmulab.plots.pages import html, saved, sections, values

GUPS = "gups:size=1M,accesses=20K"
HOSTILE = "<script>alert(1)</script>]]></style>"

#: Results of every command, each as its `--json` writes it.
COMMANDS = {
    "compare": ("compare", GUPS, "microchurn:accesses=20K", "--preset", "skylake-sp",
                "--techniques", "native,shadow,nested"),
    "mrc": ("mrc", GUPS),
    "geometries": ("mrc", GUPS, "--sets", "16"),
    "info": ("trace", "info", GUPS),
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of results by command."""
    from click.testing import CliRunner

    from mmulab.commands.main import cli

    folder = tmp_path_factory.mktemp("results")
    for name, command in COMMANDS.items():
        done = CliRunner().invoke(cli, [*command, "--json", str(folder / f"{name}.json")])
        assert done.exit_code == 0, done.output
    (folder / "study.toml").write_text(
        f'traces = ["{GUPS}"]\npreset = "skylake-sp"\ntechniques = ["native", "nested"]\n'
        'memory = "64M"\n[axes]\npage_size = ["4k", "thp"]\n'
    )
    command = ["sweep", str(folder / "study.toml"), "-o", str(folder / "study"), "--jobs", "1",
               "--engine", "threads"]  # fmt: skip
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    return {name: folder / f"{name}.json" for name in COMMANDS} | {"study": folder / "study"}


@pytest.fixture(scope="module")
def page(results: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of all of them, whose first trace has a hostile name, and the last a warning."""
    folder = tmp_path_factory.mktemp("page")
    plain = json.loads(results["compare"].read_text())[:1]
    plain[0]["trace"] = HOSTILE
    plain[0]["results"][1]["technique"] = f"shadow:{HOSTILE}"
    plain[0]["warnings"] = [f"beware of {HOSTILE}"]
    plain[0]["input"]["files"] = {HOSTILE: "0" * 64}
    plain[0]["made"]["command"] = ["mmulab", "compare", HOSTILE]
    (folder / "hostile.json").write_text(json.dumps(plain))
    rest = [str(path) for name, path in results.items() if name != "compare"]
    read = [saved.load(each) for each in (str(folder / "hostile.json"), *rest)]
    path = folder / "report.html"
    path.write_text(html.render(sections.document(read)))
    return path


def test_no_file_that_results_name_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = tmp_path / "own.py"
    code.write_text(f"open({str(mark)!r}, 'w')\n")
    comparison = package.compare(GUPS, techniques=["native", "nested"], preset="skylake-sp")
    plain = json.loads(to_json([comparison]))
    plain[0]["results"][1] |= {"technique": str(code), "name": str(code)}
    (tmp_path / "c.json").write_text(json.dumps(plain))
    document = sections.document([saved.load(str(tmp_path / "c.json"))])
    assert str(code) in html.render(document)
    assert not mark.exists()


def test_a_comparison_says_all_that_a_reader_needs(results: dict[str, Path]) -> None:
    text = html.render(sections.document([saved.load(str(results["compare"]))]))
    comparison = Comparison.from_dict(json.loads(results["compare"].read_text())[0])
    for expected in (
        f"mmulab compare {GUPS} microchurn:accesses=20K --preset skylake-sp",
        f"mmulab rerun {results['compare']}",
        f"{comparison['nested'].cycles_per_access:.3f}",
        "fewer in", "SHA-256", package.__version__, "cost.vm_exit", "<figcaption>",
    ):  # fmt: skip
        assert expected in text
    for warning in comparison.warnings:
        assert warning in text


def test_bars_and_points_say_their_values(results: dict[str, Path]) -> None:
    document = sections.document([saved.load(str(results["compare"]))])
    comparison = Comparison.from_dict(json.loads(results["compare"].read_text())[0])
    said = [text for of in values.mark(document.sections[0].pictures[0].draw()).values()
            for text in of]  # fmt: skip
    for result in comparison.results:
        work = result.cycles["work"].likely / comparison.accesses
        assert f"work, {result.technique}: {work:,.4g} cycles per access" in said
        rate = 1000 * result.counts["l2_tlb_misses"] / comparison.accesses
        assert f"{result.technique}: {rate:,.4g} per 1,000 accesses" in said


def test_points_of_a_curve_say_their_values(results: dict[str, Path]) -> None:
    (plain,) = json.loads(results["mrc"].read_text())
    picture = sections.document([saved.load(str(results["mrc"]))]).sections[0].pictures[0]
    said = [text for of in values.mark(picture.draw()).values() for text in of]
    ratio = plain["curves"][0]["miss_ratio"][0]
    where = "TLB entries (fully associative, LRU) 1"
    assert f"4K pages, {where}: {ratio:,.4g} miss ratio" in said


def test_hostile_names_are_text(page: Path) -> None:
    text = page.read_text()
    assert text.count("<script") == 1 and text.count("</style>") == 2  # its own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;]]&gt;" in text


@pytest.mark.parametrize("kind", ["md", "tex"])
def test_documents_have_their_figures_beside_them(
    results: dict[str, Path], kind: str, tmp_path: Path, mmulab
) -> None:  # type: ignore
    out = tmp_path / f"a_report.{kind}"
    done = mmulab("report", results["mrc"], results["study"], "-o", out)
    assert done.code == 0 and done.err == ""
    text = out.read_text()
    named = re.findall(r"a_report-\d\.(?:svg|pdf)", text)
    assert len(named) == 2
    assert {out.name, *named} == {each.name for each in tmp_path.iterdir()}


def test_markdown_escapes_what_has_a_meaning(tmp_path: Path, mmulab) -> None:  # type: ignore
    plain = json.loads(to_json([package.compare(GUPS, techniques=["native", "nested"])]))
    plain[0]["trace"] = "a|b <script> [x](y) `c`\n# d"
    (tmp_path / "c.json").write_text(json.dumps(plain))
    assert mmulab("report", tmp_path / "c.json", "-o", tmp_path / "r.md").code == 0
    title = (tmp_path / "r.md").read_text().splitlines()[0]
    assert title == r"# a\|b \<script\> \[x\]\(y\) \`c\`\\x0a\# d"


def test_latex_escapes_what_is_a_command(tmp_path: Path, mmulab) -> None:  # type: ignore
    plain = json.loads(to_json([package.compare(GUPS, techniques=["native", "nested"])]))
    plain[0]["trace"] = r"\input{x}%$&_é"
    (tmp_path / "c.json").write_text(json.dumps(plain))
    assert mmulab("report", tmp_path / "c.json", "-o", tmp_path / "r.tex").code == 0
    text = (tmp_path / "r.tex").read_text()
    assert r"\section*{\textbackslash{}input\{x\}\%\$\&\_[U+00E9]}" in text
    assert r"\input" not in text and r"\bottomrule" in text and r"\includegraphics" in text


def test_a_pdf_is_one(results: dict[str, Path], tmp_path: Path, mmulab) -> None:  # type: ignore
    out = tmp_path / "r.pdf"
    assert mmulab("report", results["mrc"], "-o", out).code == 0
    made = out.read_bytes()
    assert made.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", made)) == 2


def test_csv_is_that_of_the_command(results: dict[str, Path], tmp_path: Path, mmulab) -> None:  # type: ignore
    mmulab("report", results["compare"], "-o", tmp_path / "r.csv")
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [row["technique"] for row in rows] == ["native", "shadow", "nested"] * 2
    mmulab("report", results["study"], "-o", tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == (results["study"] / "rows.csv").read_text()
    check_error(mmulab("report", results["mrc"], "-o", tmp_path / "m.csv"), 2, "have --csv")
    assert not (tmp_path / "m.csv").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "no JSON"),
        ("[]", "no results"),
        ("[1]", "expected a result that --json wrote"),
        ('[{"schema": "mmulab.compare"}]', "did you mean 'mmulab.comparison'"),
        ('[{"schema": "mmulab.comparison", "schema_version": 3}]', "version 3 of"),
        ('[{"schema": "mmulab.comparison", "schema_version": 2}]', "lacks or misnames 'input'"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, mmulab, text: str, expected: str) -> None:  # type: ignore
    (tmp_path / "r.json").write_text(text)
    done = mmulab("report", tmp_path / "r.json", "-o", tmp_path / "r.html")
    check_error(done, 2, expected)
    assert not (tmp_path / "r.html").exists()


def test_a_format_follows_from_the_name(tmp_path: Path, mmulab) -> None:  # type: ignore
    check_error(mmulab("report", "r.json", "-o", tmp_path / "r"), 2, "expected .html")
    done = mmulab("report", "r.json", "-o", tmp_path / "r", "--format", "htm")
    check_error(done, 2, "did you mean 'html'")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_it_is_accessible(browser, page: Path, scheme: str, width: int) -> None:  # type: ignore
    with visit(browser, page, scheme, width) as seen:
        for each in seen.page.locator("summary").all():
            each.click()
        assert seen.violations() == []
        assert not seen.is_too_wide


def test_values_are_told_to_pointer_and_keyboard(browser, page: Path) -> None:  # type: ignore
    with visit(browser, page) as seen:
        figure = seen.page.locator("svg.figure").first
        marks = figure.locator(".value")
        assert marks.count() > 10
        bar = figure.locator(".value[aria-label$='per 1,000 accesses']").first
        bar.hover()
        told = seen.page.locator("#told")
        assert told.is_visible() and told.text_content() == bar.get_attribute("aria-label")
        assert figure.locator("[tabindex='0']").count() == 1
        seen.page.mouse.move(0, 0)
        assert not told.is_visible()
        marks.nth(0).focus()
        for key, place in (("ArrowRight", 1), ("End", marks.count() - 1), ("Home", 0)):
            seen.page.keyboard.press(key)
            said = seen.page.evaluate("document.activeElement.getAttribute('aria-label')")
            assert said == marks.nth(place).get_attribute("aria-label") == told.text_content()
        seen.page.keyboard.press("Escape")
        assert not told.is_visible()


def test_it_can_be_read_without_a_script(browser, page: Path) -> None:  # type: ignore
    with visit(browser, page, scripts=False) as seen:
        assert seen.page.locator("svg.figure:visible").count() == 5
        assert seen.page.locator(".hint:visible").count() == 0
        assert HOSTILE in seen.page.locator("h2").first.text_content()
