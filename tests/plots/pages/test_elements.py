"""Text from anywhere stays text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from mmulab.plots.pages import elements
from mmulab.plots.pages.elements import Markup, tag

HOSTILE = (
    "<script>alert(1)</script>",
    "]]>",
    "</style><style>*{display:none}",
    "</script><script>alert(1)//",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "<!--",
    "a\x00b\x1b[31m",
    "\u202egnp.exe",
    "\udcff",
)


class Read(HTMLParser):
    """Elements and text as a browser has them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_text_makes_no_element_and_no_attribute(text: str) -> None:
    read = Read(tag("p", text, title=text))
    assert read.names == ["p"]
    assert [name for name, _ in read.attributes] == ["title"]
    assert read.attributes[0][1] == read.text


@pytest.mark.parametrize("text", HOSTILE[:8])
def test_text_is_shown_as_it_is(text: str) -> None:
    assert Read(tag("p", text)).text == text


@pytest.mark.parametrize("text", HOSTILE[8:])
def test_what_is_no_character_is_shown_as_such(text: str) -> None:
    made = tag("p", text)
    assert made.isprintable() and "\\x" in made
    made.encode()


def test_markup_is_not_escaped_twice() -> None:
    assert tag("p", [tag("b", "a & b"), None]) == "<p><b>a &amp; b</b></p>"


def test_attributes_are_left_out_or_stand_alone() -> None:
    made = tag("input", disabled=True, checked=False, value=None, data_step=3, class_="a")
    assert made == '<input disabled data-step="3" class="a">'


@pytest.mark.parametrize("name", ["a b", "a>", "", "1", "a/"])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        tag(name)


@pytest.mark.parametrize("text", HOSTILE)
def test_data_cannot_end_its_element(text: str) -> None:
    read = Read(elements.data("data", {"text": text}))
    assert read.names == ["script"]
    assert json.loads(read.text) == {"text": text}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_page_holds_its_own_style_and_script_alone(text: str) -> None:
    made = elements.page(text, tag("p", text), ("page.css",), ("walk.js",))
    assert made.count("<script") == made.count("<style") == 1
    assert Read(made).names.count("p") == 1
    assert f'content="{elements.shown(elements.POLICY)}"' in made


def test_a_page_loads_nothing() -> None:
    made = elements.page("a", Markup(""), ("page.css", "walk.css"), ("walk.js",))
    assert not re.search(r"(?i)https?:|src=|@import|url\((?!#)", made)
