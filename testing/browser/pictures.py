"""Pictures of a running console for the README: `python -m testing.browser.pictures
http://127.0.0.1:9106/ docs --query "wireless headphones"`.
"""

import argparse
import time
from pathlib import Path

from testing.browser.chromium import DEADLINE_SECONDS, Browser, chromium

# As wide as the README shows a picture, twice as many letters would be too small there.
_WIDTH, _HEIGHT = 1100, 780


def main() -> None:
    """Take the pictures.

    Raises:
        SystemExit: the console shows nothing.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of the console")
    parser.add_argument("folder", type=Path, help="where console-NAME.png go")
    parser.add_argument("--query", required=True, help="what is searched for")
    parser.add_argument("--narrow", action="store_true", help="as a telephone shows it")
    parser.add_argument("--only", help="one page alone")
    given = parser.parse_args()
    pages = {
        "overview": ("#/", False, ".stages"),
        "overview-dark": ("#/", True, ".stages"),
        "search": ("#/search?q=" + given.query.replace(" ", "+"), False, ".hit"),
        "generations": ("#/generations", False, "table"),
        "partitions": ("#/partitions", True, "table"),
        "quarantine": ("#/quarantine", False, "main h1"),
    }
    with chromium() as browser:
        for name, (path, dark, awaited) in pages.items():
            if given.only in (None, name):
                width = 390 if given.narrow else _WIDTH
                browser.set_view(width=width, height=_HEIGHT, dark=dark)
                browser.open(given.url + path)
                _await(browser, awaited)
                if name.startswith("overview"):
                    _choose(browser, "300")
                if name == "search":
                    browser.driver.execute_script("document.querySelector('.hit').open = true")
                (given.folder / f"console-{name}.png").write_bytes(browser.picture())


def _choose(browser: Browser, seconds: str) -> None:
    """Show the last minutes alone: the console may have been started just now."""
    browser.driver.execute_script(
        "const range = document.querySelector('[data-keep=range]');"
        "range.value = arguments[0]; range.dispatchEvent(new Event('change'))",
        seconds,
    )
    _await(browser, "svg path[d*=L]")


def _await(browser: Browser, selector: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not browser.driver.find_elements("css selector", selector):
        if time.monotonic() > deadline:
            raise SystemExit(f"the console shows no {selector}:\n{browser.text()}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
