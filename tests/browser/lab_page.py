"""A page of JupyterLab with the Workbench in it."""

from __future__ import annotations

import json
import time
from pathlib import Path

from playwright.sync_api import Locator, Page

SCREENSHOTS = Path(__file__).parent / "screenshots"
TOKEN = "browser-test"
#: Seconds that a condition may take to hold; a loaded machine needs minutes where an idle one needs a second.
PATIENCE = 180.0
#: Of an element's text and of what it stands on, from 0 to 1.
LIGHTNESS = r"""element => {
    const light = colour => colour.match(/[\d.]+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0) / 765;
    let above = element;
    while (above && /rgba\(.*, 0\)|transparent/.test(getComputedStyle(above).backgroundColor))
        above = above.parentElement;
    const text = element.querySelector("td") ?? element;
    return [light(getComputedStyle(text).color), light(getComputedStyle(above).backgroundColor)];
}"""


class Lab:
    """A page of JupyterLab, and what the tests do with it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self, *, reset: bool = True) -> None:
        """Load the application and wait until it has restored its layout, or reset it."""
        self.page.goto(f"{self.url}/lab{'?reset' if reset else ''}{'&' if reset else '?'}token={TOKEN}")
        self.page.locator("#jp-main-dock-panel").wait_for()
        self._wait_restored()
        if reset:
            # JupyterLab stores the empty layout, then it removes "reset" from the address.
            self.page.wait_for_function("() => !/[?&]reset\\b/.test(location.search)")
            # It opens the launcher last. The focus that the launcher gets would close a palette that is open.
            self.page.wait_for_function("() => document.activeElement?.closest('.jp-Launcher')")

    def open_alone(self, notebook: str) -> None:
        """Load a notebook in Notebook 7, which shows one on a page."""
        self.page.goto(f"{self.url}/notebooks/{notebook}?token={TOKEN}")
        self._wait_restored()

    def _wait_restored(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)")

    def wait_saved(self, *names: str) -> None:
        """Wait until the server has stored a layout that contains these documents.

        JupyterLab saves the layout some time after a change; a request that saves it may have been sent for an
        earlier change.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            workspace = self.page.request.get(f"{self.url}/lab/api/workspaces/default").json()
            layout = json.dumps(workspace["data"].get("layout-restorer:data"))
            if all(name in layout for name in names):
                return
            assert time.monotonic() < deadline, layout
            self.page.wait_for_timeout(250)

    def run(self, command: str, **arguments: object) -> None:
        """Run a command of the application."""
        self.page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)",
            [command, arguments],
        )

    def press(self, keys: str, command: str) -> None:
        """Press the shortcut of a command; JupyterLab reads the shortcuts some time after the page is shown."""
        self.page.wait_for_function(
            "command => window.jupyterapp.commands.keyBindings.some(binding => binding.command === command)",
            arg=command,
        )
        self.page.keyboard.press(keys)

    def theme(self, name: str) -> None:
        """Change the theme and wait until the page has it."""
        self.run("apputils:change-theme", theme=name)
        light = "false" if "Dark" in name else "true"
        self.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached")
        # The splash screen would cover what is clicked next.
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

    def shoot_in_both_themes(self, name: str) -> None:
        """Take a picture of the window in the dark and in the light theme."""
        for theme in ("Dark", "Light"):
            self.theme(f"JupyterLab {theme}")
            self.shoot(f"{name}-{theme.lower()}")


def start(lab: Lab, command: str, **arguments: object) -> None:
    """Begin a command without waiting for what it does."""
    lab.page.evaluate(
        "([command, args]) => { void window.jupyterapp.commands.execute(command, args); }", [command, arguments]
    )


def connected(lab: Lab) -> None:
    """Wait until the kernel has answered: cells that are run before that are lost."""
    lab.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.info.then(() => true) ?? false"
    )
