"""A page in a real browser, which tells what went wrong and what it asked the network for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: Where a browser may be, besides the one that playwright has brought.
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

#: (colour scheme, width in pixels) that pages are looked at in.
LOOKS = (("light", 1280), ("dark", 360))


@contextmanager
def launched() -> Iterator[Any]:
    """A headless Chromium; without one, or what drives it, the test is skipped."""
    driver = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[browser]'")
    pytest.importorskip("axe_playwright_python", reason="pip install -e '.[browser]'")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with driver.sync_playwright() as playwright:
        path = found or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("there is no Chromium here")
        # Its sandbox is not for root, as whom tests run in containers; the pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page that was opened from disk. wrong: errors, and what its console was told. asked:
    addresses other than the page's own."""

    def __init__(self, context: Any, path: Path) -> None:
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.asked = [url for url in self.asked if url != path.as_uri()]

    def violations(self) -> list[str]:
        """What axe-core finds."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]

    @property
    def is_too_wide(self) -> bool:
        """Whether the page as a whole has to be scrolled sideways."""
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return bool(wide)


@contextmanager
def visit(
    browser: Any, path: Path, scheme: str = "light", width: int = 1280, scripts: bool = True
) -> Iterator[Visit]:
    """A page as a visitor has it; nothing may have gone wrong, or been asked for."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, java_script_enabled=scripts
    )
    made = Visit(context, path)
    yield made
    assert made.wrong == []
    assert made.asked == []
    context.close()
