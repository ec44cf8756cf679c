"""A report as Markdown, with tables as GitHub and pandoc have them, and figures beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmulab import __version__
from mmulab.mmu.errors import printable
from mmulab.plots.pages.document import Document, Section, Table

#: What Markdown, or HTML in it, gives a meaning.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$<>&])")


def render(document: Document, figures: Sequence[str]) -> str:
    """The text. figures: names of the files of its pictures, in order."""
    names = iter(figures)
    lines = [f"# {_plain(document.title)}"]
    for section in document.sections:
        lines += _section(section, names)
    lines += ["", *_code_list("What this report was made of, by SHA-256", document.sources)]
    return "\n".join([*lines, "", f"Written by mmulab {__version__}.", ""])


def _section(section: Section, figures: Iterator[str]) -> list[str]:
    lines = ["", f"## {_plain(section.title)}", "", _plain(section.lead)]
    for warning in section.warnings:
        lines += ["", f"> **Warning:** {_plain(warning)}"]
    if section.verdict:
        lines += ["", "**Verdict**", "", *(f"- {_plain(each)}" for each in section.verdict)]
    for table in section.tables[:1]:
        lines += _table(table)
    for picture in section.pictures:
        alternative = _plain(f"{picture.title}. {picture.words}")
        lines += ["", f"![{alternative}](<{_target(next(figures))}>)", "",
                  f"*{_plain(picture.title)}.* {_plain(picture.words)}"]  # fmt: skip
    for table in section.tables[1:]:
        if not table.folded:
            lines += _table(table)
    for title, text in section.texts.items():
        lines += ["", f"**{_plain(title)}**", "", *_block(text)]
    lines += ["", "**How to make it again**", "", *_block("\n".join(section.commands)), ""]
    lines += [f"- {_plain(name)}: {_plain(value)}" for name, value in section.facts.items()]
    return [*lines, *_code_list("Files that it was made of, by SHA-256", section.files)]


def _table(table: Table) -> list[str]:
    """Numbers to the right. A heading among the rows stands in bold."""
    wide = len(table.head)
    rule = ["---" if at < table.names or name == "source" else "---:"
            for at, name in enumerate(table.head)]  # fmt: skip
    lines = ["", f"**{_plain(table.caption)}**", "", _cells(map(_plain, table.head)), _cells(rule)]
    for row in table.rows:
        if len(row) == 1 and wide > 1:
            lines.append(_cells([f"**{_plain(row[0].strip())}**", *[""] * (wide - 1)]))
        else:
            indent = "&nbsp;&nbsp;" if row[0].startswith(" ") else ""
            lines.append(_cells([indent + _plain(row[0].strip()), *map(_plain, row[1:])]))
    return lines


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """A text in a line, nothing of it markup."""
    return _SPECIAL.sub(r"\\\1", printable(str(text)))


def _target(name: str) -> str:
    return re.sub(r"([\\<>])", r"\\\1", printable(name))


def _block(text: str) -> list[str]:
    """Lines as they are: indented, so that nothing in them can end the block."""
    return [f"    {printable(line)}".rstrip() for line in text.split("\n")]


def _code_list(title: str, files: Mapping[str, str]) -> list[str]:
    if not files:
        return []
    return ["", f"**{title}**", "", *_block("\n".join(f"{of}  {_line(name)}"
                                                      for name, of in files.items()))]  # fmt: skip


def _line(name: str) -> str:
    return printable(name)
