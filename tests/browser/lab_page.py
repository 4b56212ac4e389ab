"""A page of JupyterLab with the Workbench in it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

SCREENSHOTS = Path(__file__).parent / "screenshots"
TOKEN = "browser-test"


class Lab:
    """A page of JupyterLab, and what the tests do with it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self, *, reset: bool = True) -> None:
        """Load the application and wait until it stands."""
        self.page.goto(f"{self.url}/lab{'?reset' if reset else ''}{'&' if reset else '?'}token={TOKEN}")
        self.page.locator("#jp-main-dock-panel").wait_for(timeout=60_000)
        self.page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)", timeout=60_000)

    def open_alone(self, notebook: str) -> None:
        """Load a notebook in Notebook 7, which shows one on a page."""
        self.page.goto(f"{self.url}/notebooks/{notebook}?token={TOKEN}")
        self.page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)", timeout=60_000)

    def run(self, command: str, **arguments: object) -> None:
        """Run a command of the application."""
        self.page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)",
            [command, arguments],
        )

    def press_until(self, keys: str, wanted: Locator) -> None:
        """Press a shortcut until what it shows is there: shortcuts are read a while after the page stands."""
        for _ in range(20):
            self.page.keyboard.press(keys)
            try:
                wanted.wait_for(timeout=3000)
                return
            except PlaywrightTimeoutError:
                continue
        raise AssertionError(f"{keys} does nothing")

    def theme(self, name: str) -> None:
        """Change the theme and wait until it shows."""
        self.run("apputils:change-theme", theme=name)
        light = "false" if "Dark" in name else "true"
        self.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached")
        # A second change would stumble over the splash of the first.
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def panel(self) -> Locator:
        """Show the panel."""
        self.run("mlops-workbench:show-panel")
        panel = self.page.get_by_role("region", name="Workbench")
        panel.wait_for()
        return panel

    def section(self, name: str) -> Locator:
        """A list of the panel."""
        return self.page.get_by_role("region", name="Workbench").get_by_role("list", name=name)

    def document(self, kind: str, name: str) -> Locator:
        """An open document."""
        return self.page.get_by_role("article", name=f"{kind} {name}")

    def shoot(self, name: str) -> None:
        """Take a picture of the window."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.mouse.move(0, 0)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
