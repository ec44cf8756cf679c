"""A figure as SVG that stands in a page: it takes the page's colours, and says its values."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from mmulab.plots.pages.document import Picture
from mmulab.plots.pages.elements import Markup, shown
from mmulab.plots.pages.values import mark

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"

#: Colours of ink and of lines that guide the eye, which a dark page has others of.
_INKS = {
    **dict.fromkeys(("#000000", "#222222", "#262626"), "var(--ink)"),
    "#444444": "var(--soft)",
    **dict.fromkeys(("#bbbbbb", "#dddddd", "#b0b0b0"), "var(--line)"),
}
_INK = re.compile("|".join(_INKS))
#: Pixels that an inch of a figure has on a page, at most and at least.
_LARGEST, _SMALLEST = 105, 62

_REFERENCE = re.compile(r"url\(#")


def inline(picture: Picture, prefix: str) -> Markup:
    """The figure. prefix: of all ids in it, different for each figure of a page."""
    figure = picture.draw()
    marks = mark(figure)
    root = _as_xml(figure)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        _rename(element, prefix)
    for name in ("metadata", "defs/style"):
        _drop(root, name)
    for identity, said in marks.items():
        marked = root.find(f".//*[@id='{prefix}{identity}']")
        if marked is not None:
            _say(marked, said)
    _head(root, picture, prefix)
    # What matplotlib writes is text as XML: escaped, and with no markup of its own.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _as_xml(figure: Figure) -> ElementTree.Element:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    body = text.getvalue()
    return ElementTree.fromstring(body[body.index("<svg") :])


def _rename(element: ElementTree.Element, prefix: str) -> None:
    """Prefixes ids, and what refers to them; takes the page's inks."""
    if _LINK in element.attrib:
        element.set("href", element.attrib.pop(_LINK))
    for key, value in element.attrib.items():
        if key == "id":
            value = prefix + value
        elif key == "href":
            value = f"#{prefix}{value[1:]}"
        elif key in ("style", "clip-path", "fill", "stroke"):
            value = _REFERENCE.sub(f"url(#{prefix}", value)
            value = _INK.sub(lambda found: _INKS[found[0]], value)
        element.set(key, value)


def _drop(root: ElementTree.Element, path: str) -> None:
    above, _, name = path.rpartition("/")
    for parent in root.findall(above) if above else [root]:
        for child in parent.findall(name):
            parent.remove(child)


def _say(element: ElementTree.Element, said: list[str]) -> None:
    """Lets a bar, or each point of a line, be pointed at, and say what it stands for."""
    points = [element] if len(said) == 1 else list(element.iter("use"))
    if len(points) != len(said):  # some lie outside
        return
    for point, text in zip(points, said, strict=True):
        point.set("class", "value")
        point.set("role", "img")
        point.set("tabindex", "-1")
        title = ElementTree.Element("title")
        title.text = shown_plain(text)
        point.insert(0, title)


def shown_plain(text: str) -> str:
    """A text with what is no character made visible, not yet escaped."""
    from html import unescape

    return unescape(shown(text))


def _size(root: ElementTree.Element) -> str:
    """As wide as there is room, while its text is neither large nor too small to read."""
    wide = float(root.attrib["viewBox"].split()[2]) / 72  # points in inches
    return f"max-width:{_LARGEST * wide:.0f}px;min-width:{_SMALLEST * wide:.0f}px"


def _head(root: ElementTree.Element, picture: Picture, prefix: str) -> None:
    """The figure's name and what it shows, for who cannot see it; it fits where it stands."""
    root.set("class", "figure")
    root.set("role", "group")
    root.set("aria-labelledby", f"{prefix}title")
    root.set("aria-describedby", f"{prefix}desc")
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("style", f"stroke-linejoin:round;stroke-linecap:butt;{_size(root)}")
    described = (("desc", picture.words), ("title", picture.title))
    for name, text in described:
        element = ElementTree.Element(name, id=prefix + name)
        element.text = shown_plain(text)
        root.insert(0, element)
