"""A report as LaTeX: tables of booktabs and figures by includegraphics, for a paper.

It compiles as it stands; its tables and figures can be taken out one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmulab import __version__
from mmulab.mmu.errors import printable
from mmulab.plots.pages.document import Document, Picture, Section, Table

_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "-": "{-}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "±": r"$\pm$",
}  # fmt: skip

_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[margin=2cm]{geometry}
\begin{document}
\sloppy"""


#: What a figure fits into.
_ROOM = r"width=\linewidth,height=0.45\textheight,keepaspectratio"


def render(document: Document, figures: Sequence[str]) -> str:
    """The text. figures: names of the files of its pictures, in order."""
    names = iter(figures)
    lines = [
        f"% Written by mmulab {__version__}.",
        _HEAD,
        f"\\section*{{{_plain(document.title)}}}",
    ]
    for section in document.sections:
        lines += ["", *_section(section, names)]
    return "\n".join([*lines, "", r"\end{document}", ""])


def _section(section: Section, figures: Iterator[str]) -> list[str]:
    lines = [f"\\subsection*{{{_plain(section.title)}}}", _plain(section.lead), ""]
    for warning in section.warnings:
        lines += [f"\\textbf{{Warning:}} {_plain(warning)}.", ""]
    for sentence in section.verdict:
        lines += [f"{_plain(sentence)}.", ""]
    for table in section.tables:
        if not table.folded:
            lines += _table(table)
    for picture in section.pictures:
        lines += _figure(picture, next(figures))
    for title, text in section.texts.items():
        lines += ["", f"\\paragraph{{{_plain(title)}}}~\\par", *_typed(text)]
    lines += ["", r"\paragraph{How to make it again}~\par", *_typed("\n".join(section.commands))]
    about = [f"{name}: {value}" for name, value in section.facts.items()]
    about += [f"{name}: SHA-256 {of}" for name, of in section.files.items()]
    return [*lines, "", r"\begin{small}", *(f"{_plain(each)}\\\\" for each in about),
            r"\end{small}"]  # fmt: skip


def _table(table: Table) -> list[str]:
    wide = len(table.head)
    columns = "".join("l" if at < table.names or name == "source" else "r"
                      for at, name in enumerate(table.head))  # fmt: skip
    lines = ["", r"\begin{table}[htbp]", f"\\caption{{{_plain(table.caption)}}}", r"\centering",
             r"\small\setlength{\tabcolsep}{4pt}", r"\resizebox{\ifdim\width>\linewidth\linewidth"
             r"\else\width\fi}{!}{%", f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule",
             _row(table.head), r"\midrule"]  # fmt: skip
    for row in table.rows:
        if len(row) == 1 and wide > 1:
            lines += [r"\addlinespace", f"\\multicolumn{{{wide}}}{{@{{}}l}}"
                      f"{{\\emph{{{_plain(row[0].strip())}}}}} \\\\"]  # fmt: skip
        else:
            lines.append((r"\quad " if row[0].startswith(" ") else "") + _row(row))
    return [*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(_plain(cell.strip()) for cell in cells) + r" \\"


def _figure(picture: Picture, name: str) -> list[str]:
    caption = f"{_plain(picture.title)}. {_plain(picture.words)}"
    return ["", r"\begin{figure}[htbp]", r"\centering",
            f"\\includegraphics[{_ROOM}]{{{_file(name)}}}", f"\\caption{{{caption}}}",
            r"\end{figure}"]  # fmt: skip


def _plain(text: str) -> str:
    """A text in a line, nothing of it a command. What the fonts lack is shown by its number."""
    shown = (_ESCAPED.get(each, each) for each in printable(str(text)))
    return "".join(each if each.isascii() or each == "$\\pm$" else f"[U+{ord(each):04X}]"
                   for each in shown)  # fmt: skip


def _file(name: str) -> str:
    return f"\\detokenize{{{printable(name)}}}"


def _typed(text: str) -> list[str]:
    """Lines in a typewriter's letters, their spaces kept."""
    lines = [_plain(line).replace(" ", "~") for line in text.split("\n")]
    typed = "".join(f"\\noindent\\texttt{{{line}}}\\\\\n" for line in lines).rstrip("\\\n")
    return [r"{\scriptsize", typed, "}"]
