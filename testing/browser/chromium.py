"""Chromium without a window, of a size and a colour scheme, with what it asked and what
went wrong in it.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

DEADLINE_SECONDS = 60.0  # for what takes a moment on a machine that is not busy


class Browser:
    """One browser.

    Attributes:
        driver: Selenium's.
    """

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Go to a page, as if it had been typed."""
        self.driver.get("about:blank")
        self.driver.get(url)

    def set_view(self, *, width: int, height: int, dark: bool = False) -> None:
        """Set the size of what is seen, in CSS pixels, and the colour scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def picture(self) -> bytes:
        """Return what is seen, as PNG."""
        return self.driver.get_screenshot_as_png()

    def text(self) -> str:
        """Return the text of the page that is seen."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def origins(self) -> set[str]:
        """Return where requests went since the last call: HOST:PORT of each."""
        found = set()
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                parts = urlsplit(message["params"]["request"]["url"])
                if parts.scheme in {"http", "https", "ws", "wss"}:
                    found.add(parts.netloc)
        return found

    def complaints(self) -> list[str]:
        """Return what the browser complained of since the last call: errors of scripts,
        what a policy forbade, what could not be loaded.
        """
        return [str(entry["message"]) for entry in self._log("browser")]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        get_log: Any = self.driver.get_log  # which Selenium does not annotate
        found: list[dict[str, Any]] = get_log(kind)
        return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser, which ends with the block.

    Raises:
        FileNotFoundError: the machine has no Chromium or no ChromeDriver.
    """
    options = ChromeOptions()
    options.binary_location = _found("chromium", "chromium-browser", "google-chrome")
    for argument in (
        "--headless=new",
        "--no-first-run",
        "--disable-gpu",
        # Containers have a small /dev/shm.
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        # Nothing but this machine has an address.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which root cannot have
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(_found("chromedriver")))
    try:
        driver.set_page_load_timeout(DEADLINE_SECONDS)
        yield Browser(driver)
    finally:
        driver.quit()


def _found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(f"no {names[0]} on PATH: apt-get install chromium chromium-driver")
