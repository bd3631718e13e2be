"""Debian's Chromium, driven by Playwright, and a page that records its errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from clipforge.devtools.testing.service import ROOT
from clipforge.devtools.testing.staff import PASSWORD

WIDTHS = (1280, 390)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HEIGHT = 900

# Build output, of the newest run; never committed.
PICTURES = ROOT / "build" / "screenshots"

PAGE_AUDIT = Path(__file__).with_name("page_audit.js")
# Deque's rules, run in the page that is open.
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
RUN_AXE = """(options) => axe.run(document, {preload: false, resultTypes: ["violations"], ...options})
  .then(({violations}) => violations
    .filter(({impact}) => ["serious", "critical"].includes(impact))
    .map(({id, nodes}) => `axe: ${id}, ${nodes.length} times: ${nodes[0].html.slice(0, 200)}`))"""
# What a theme can change; the width changes what is there.
OF_COLOUR = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
# The one rule that takes two thirds of the time; `looks.faint` measures the same on every page.
BUT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}
# On however busy a machine: a test that waits longer is wrong about what it waits for.
PATIENCE_MS = 60_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """It may only reach this machine, as everything in the tests.

    While it is open Django's ORM refuses to work in this thread, because Playwright runs a loop.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium (apt-get install chromium); .ci/run installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One person at a browser. Everything that a developer would see in its console is a fault."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(reduced_motion="reduce", **options)
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(path=PAGE_AUDIT)
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script failed: {error}"))
        self.page.on("requestfailed", self._on_failure)
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)

    def go(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Do what opens another page, and go on when that one is whole.

        A click by itself returns while the old page is still open: what is read then is of either.
        """
        with self.page.expect_navigation():
            yield

    def follow(self, selector: str) -> None:
        """Click what leads to another page, and wait for it."""
        with self.leaving():
            self.page.click(selector)

    def enter(self) -> None:
        """Press Enter where it sends a form or opens a link, and wait for the page that comes."""
        with self.leaving():
            self.page.keyboard.press("Enter")

    def looks(self, function: str) -> Any:
        """The result of a function of page_audit.js on the page that is open."""
        return self.page.evaluate(f"looks.{function}()")

    def take_faults(self) -> list[str]:
        """Those since the last call, under the address of the page that is open."""
        found, self.faults = self.faults, []
        return [f"{self.page.url}: {fault}" for fault in found]

    def close(self) -> None:
        self.context.close()

    def _on_console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console: {message.text}")

    def _on_failure(self, request: Any) -> None:
        # Going on to the next page before the icon of this one has come is no fault, nor is a download.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url}: {request.failure}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.faults.append(f"request to another host: {request.url}")

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            self.faults.append(f"status {response.status}: {response.url}")


def axe(visitor: Visitor, options: dict[str, Any] | None = None) -> list[str]:
    """Serious and critical findings of axe on the page that is open, by all rules or as the options say."""
    if visitor.page.evaluate("typeof axe") == "undefined":
        visitor.page.evaluate(AXE)
    found: list[str] = visitor.page.evaluate(RUN_AXE, options or {})
    return found


def faults_of(visitor: Visitor, *, thorough: bool = False) -> list[str]:
    """The faults of the page that is open: width, contrast and words at every width and in both themes.

    Axe is asked once, for all but contrast; where it is thorough, at every width and in both themes, for
    all. A page of each kind is enough for that, since those of a kind share template and style.
    """
    found = [*visitor.looks("nameless"), *visitor.looks("handlers")]
    for width in WIDTHS:
        visitor.page.set_viewport_size({"width": width, "height": HEIGHT})
        found += visitor.looks("overflowing")
        for theme in THEMES:
            visitor.page.emulate_media(color_scheme=theme)
            faults = visitor.looks("faint")
            if thorough:
                faults += axe(visitor, None if theme == "light" else OF_COLOUR)
            found += [f"{theme}, {width} wide: {fault}" for fault in faults]
    if not thorough:
        found += axe(visitor, BUT_CONTRAST)
    return [*visitor.take_faults(), *found]


def picture(visitor: Visitor, name: str, *themes: Literal["light", "dark"]) -> None:
    """Of the whole page that is open, at every width, for people to look at."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        visitor.page.set_viewport_size({"width": width, "height": HEIGHT})
        for theme in themes or THEMES:
            visitor.page.emulate_media(color_scheme=theme)
            file = PICTURES / f"{name}-{width}-{theme}.png"
            visitor.page.screenshot(path=file, full_page=True)


def enter_password(visitor: Visitor, name: str, path: str = "/admin/") -> None:
    """Ask for a page of the admin, and give the password that it asks for."""
    visitor.go(path)
    visitor.page.fill("#id_username", name)
    visitor.page.fill("#id_password", PASSWORD)
    visitor.enter()


def sign_in(visitor: Visitor, name: str) -> None:
    """Where the password is enough."""
    enter_password(visitor, name)
    visitor.page.wait_for_selector("#user-tools")
