"""A report as one page: nothing is loaded, and it can be read without its script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mmulab import __version__
from mmulab.plots.pages.document import Document, Picture, Section, Table
from mmulab.plots.pages.elements import Markup, page, tag
from mmulab.plots.pages.inline import inline


def render(document: Document) -> str:
    """The page."""
    several = len(document.sections) > 1
    body = tag(
        "main",
        tag("h1", document.title),
        _contents(document.sections) if several else None,
        *(_section(each, f"section-{at}") for at, each in enumerate(document.sections, start=1)),
        _footer(document),
    )
    return page(document.title, body, ("page.css", "report.css"), ("report.js",))


def _contents(sections: Sequence[Section]) -> Markup:
    items = (
        tag("li", tag("a", each.title, href=f"#section-{at}"), " ", tag("span", each.lead))
        for at, each in enumerate(sections, start=1)
    )
    return tag("nav", tag("ol", *items), aria_label="Contents", class_="contents")


def _section(section: Section, identity: str) -> Markup:
    pictures = [
        _figure(picture, f"{identity}-figure-{at}-")
        for at, picture in enumerate(section.pictures, start=1)
    ]
    plain = [table for table in section.tables if not table.folded]
    folded = [table for table in section.tables if table.folded]
    return tag(
        "section",
        tag("h2", section.title),
        tag("p", section.lead, class_="lead"),
        _list(section.warnings, "Warning", "warnings"),
        _list(section.verdict, "Verdict", "verdict"),
        *(_table(table) for table in plain[:1]),
        *pictures,
        *(_table(table) for table in plain[1:]),
        *(_text(title, text) for title, text in section.texts.items()),
        tag("h3", "How to make it again"),
        *(tag("pre", tag("code", command), class_="command") for command in section.commands),
        _facts(section.facts),
        _files(section.files, "Files that it was made of, by SHA-256"),
        *(tag("details", tag("summary", table.caption), _table(table)) for table in folded),
        id=identity,
    )


def _list(sentences: Sequence[str], title: str, kind: str) -> Markup | None:
    if not sentences:
        return None
    items = (tag("li", each) for each in sentences)
    return tag("div", tag("h3", title + "s" * (kind == "warnings" and len(sentences) > 1)),
               tag("ul", *items), class_=kind)  # fmt: skip


def _table(table: Table) -> Markup:
    wide = len(table.head)
    head = tag("tr", *(_head_cell(name, at, table) for at, name in enumerate(table.head)))
    bodies: list[Markup] = []
    rows: list[Markup] = []
    for row in table.rows:
        if len(row) == 1 and wide > 1:
            bodies.append(tag("tbody", *rows) if rows else Markup(""))
            heading = tag("th", row[0].strip(), colspan=wide, scope="rowgroup")
            rows = [tag("tr", heading, class_="group")]
        else:
            rows.append(_row(row, table))
    made = tag("table", tag("caption", table.caption), tag("thead", head), *bodies,
               tag("tbody", *rows))  # fmt: skip
    return tag("div", made, class_="scrolled", tabindex=0, role="group", aria_label=table.caption)


def _head_cell(name: str, at: int, table: Table) -> Markup:
    right = "right" if at >= table.names and name != "source" else None
    if not name:
        return tag("td")
    return tag("th", name, scope="col", class_=right)


def _row(row: Sequence[str], table: Table) -> Markup:
    label = row[0]
    cells = [tag("th", label.strip(), scope="row", class_="below" if label[:1] == " " else None)]
    for at, cell in enumerate(row[1:], start=1):
        kind = "right" if at >= table.names else "text"
        kind = "text" if table.head[at] == "source" else kind
        cells.append(tag("td", cell, class_=kind))
    return tag("tr", *cells)


def _figure(picture: Picture, prefix: str) -> Markup:
    drawn = tag("div", inline(picture, prefix), class_="scrolled", tabindex=0,
                role="group", aria_label=picture.title)  # fmt: skip
    words = tag("figcaption", tag("b", picture.title), ". ", picture.words,
                tag("span", " Point at a bar or a point for its value; with the keyboard, Tab and "
                    "the arrow keys.", class_="hint", hidden=True))  # fmt: skip
    return tag("figure", drawn, words)


def _text(title: str, text: str) -> Markup:
    shown = tag("pre", text, tabindex=0, role="group", aria_label=title)
    return tag("div", tag("h3", title), shown)


def _facts(facts: Mapping[str, str]) -> Markup:
    pairs: Iterable[Markup] = (
        tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items()
    )
    return tag("dl", *pairs, class_="facts")


def _files(files: Mapping[str, str], title: str) -> Markup | None:
    if not files:
        return None
    items = (tag("div", tag("dt", name), tag("dd", tag("code", of))) for name, of in files.items())
    return tag("div", tag("h3", title), tag("dl", *items, class_="facts"))


def _footer(document: Document) -> Markup:
    return tag(
        "footer",
        _files(document.sources, "What this page was made of, by SHA-256"),
        tag("p", f"Written by mmulab {__version__}. This page loads nothing."),
    )
