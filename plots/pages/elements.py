"""HTML, made of elements: what is no markup is escaped, whatever it came from.

Names of traces, files and techniques are anybody's text. `tag` is the one way to markup; a text is
escaped when it becomes a child or an attribute, and what is no character is shown as such.
"""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from typing import Any

from mmulab.mmu.errors import printable

#: Elements that have no end.
_VOID = ("meta", "link", "br", "hr", "input")

#: What a page may load: nothing. Its style and its script stand in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]*")


class Markup(str):
    """Markup that can stand in a page as it is."""

    __slots__ = ()


def shown(text: Any) -> Markup:
    """Any text as markup: escaped, line by line, with what steers a terminal or turns the
    direction of writing made visible."""
    return Markup(escape("\n".join(printable(line) for line in str(text).split("\n"))))


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. Attributes: True stands alone, None and False are left out; an underline stands
    for a hyphen, one at the end for nothing, so that `class_` and `for_` are names, too."""
    parts = [f"<{_named(name)}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = _named(key.rstrip("_").replace("_", "-"))
        parts.append(f" {key}" if value is True else f' {key}="{shown(value)}"')
    parts.append(">")
    if name in _VOID:
        return Markup("".join(parts))
    return Markup("".join([*parts, joined(children), f"</{name}>"]))


def joined(children: Any) -> Markup:
    """Children one after the other, those of lists and tuples too; None is left out."""
    parts = []
    for child in children:
        if isinstance(child, (list, tuple)):
            parts.append(joined(child))
        elif isinstance(child, Markup):
            parts.append(child)
        elif child is not None:
            parts.append(shown(child))
    return Markup("".join(parts))


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: no name of an element or attribute")
    return name


def data(identity: str, value: Any) -> Markup:
    """Plain data for the page's script. No text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(f'<script type="application/json" id="{_named(identity)}">{text}</script>')


def page(title: str, body: Markup, styles: tuple[str, ...], scripts: tuple[str, ...]) -> str:
    """A whole page. styles, scripts: names of files beside this one, which go into it."""
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        *(Markup(f"<style>\n{_beside(name)}</style>") for name in styles),
    ]
    last = [Markup(f"<script>\n{_beside(name)}</script>") for name in scripts]
    whole = tag("html", "\n", tag("head", *head), "\n", tag("body", body, *last), "\n", lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _beside(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
