"""Tests of the console's pages in a real browser."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.keys import Keys

from freshet.console.watch import Watch
from server.security.tokens import new_token
from testing.browser.chromium import DEADLINE_SECONDS, Browser, chromium
from testing.processes.told_shop import ToldShop
from testing.small_generations import make_catalogue
from tests.freshet.console.conftest import ODD_TITLES, Serve

_WIDE, _NARROW = 1280, 360


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    """One browser for all tests: its start takes seconds."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(started: Browser) -> Iterator[Browser]:
    """A browser that is as new; whatever a test did, no script failed and no policy was
    broken.
    """
    started.set_view(width=_WIDE, height=900)
    started.complaints()
    started.origins()
    yield started
    wrong = [
        each
        for each in started.complaints()
        # A status that a page handles is written to the browser's log by itself.
        if "Failed to load resource" not in each
    ]
    started.driver.get("about:blank")
    assert wrong == []


def _until(holds: Callable[[], object], browser: Browser, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            if holds():
                return
        except (StaleElementReferenceException, ElementClickInterceptedException):
            pass  # it was drawn anew meanwhile, elsewhere too
        assert time.monotonic() < deadline, f"not in time: {what}\n{browser.text()}"


def _done(act: Callable[[], object], browser: Browser, what: str) -> None:
    """Do something with what is found on the page, which may be drawn anew between."""

    def is_done() -> bool:
        act()
        return True

    _until(is_done, browser, what)


def _text(browser: Browser, by: str, selector: str) -> str:
    """Return the text of what is found."""
    found: list[str] = []
    _done(lambda: found.append(browser.driver.find_element(by, selector).text), browser, selector)
    return found[0]


def _shows(browser: Browser, *texts: str) -> None:
    for text in texts:
        _until(lambda text=text: text in browser.text(), browser, text)  # type: ignore[misc]


def _count(browser: Browser, selector: str) -> int:
    return len(browser.driver.find_elements("css selector", selector))


def _press(browser: Browser, keys: str) -> None:
    """Press keys; just after a dialog the focus may still be on what is not shown."""

    def is_pressed() -> bool:
        try:
            browser.driver.switch_to.active_element.send_keys(keys)
        except ElementNotInteractableException:
            return False
        return True

    _until(is_pressed, browser, "something has the focus")


def _title(browser: Browser) -> str:
    return str(browser.driver.title)


def test_nothing_is_asked_of_anybody_else(browser: Browser, serve: Serve) -> None:
    """Every request of every page goes to the console itself."""
    console = serve()
    for path in ("", "#/search?q=lamp", "#/generations", "#/partitions", "#/quarantine"):
        browser.open(console.url + path)
        _until(lambda: _count(browser, "main h1") == 1, browser, path)

    assert browser.origins() == {console.url.removeprefix("http://").rstrip("/")}


def test_odd_titles_are_text(browser: Browser, serve: Serve) -> None:
    """Markup is shown, not made; a long title does not widen the page; another
    script's direction stays its own.
    """
    console = serve()
    for width in (_WIDE, _NARROW):
        browser.set_view(width=width, height=900)
        browser.open(f"{console.url}#/search?q=lamp")
        _until(lambda: _count(browser, ".hit") == 10, browser, "ten answers")
        run = browser.driver.execute_script
        titles = run("return [...document.querySelectorAll('.title')].map((e) => e.textContent)")

        assert set(ODD_TITLES[:1]) <= set(titles)
        assert "(no title)" in titles
        assert any(len(title) == 10_240 for title in titles)
        assert _count(browser, "main img, main script, main b b") == 0
        assert "owned" not in _title(browser)
        assert run("return document.documentElement.scrollWidth") <= width
        tags = run("return [...document.querySelectorAll('.title')].map((e) => e.tagName)")
        assert set(tags) == {"BDI"}


def test_keys_alone_lead_everywhere(browser: Browser, serve: Serve) -> None:
    """Pages, search, answers and their evidence, and back, without a mouse."""
    console = serve()
    browser.open(console.url)
    _shows(browser, "Nothing holds answers up")
    for key, name in zip("34521", ("Gen", "Part", "Quar", "Search", "Over"), strict=True):
        if _title(browser).startswith("Search"):
            _press(browser, Keys.ESCAPE)
        _press(browser, key)
        _until(lambda name=name: _title(browser).startswith(name), browser, name)  # type: ignore[misc]
        if name == "Search":
            _until(lambda: browser.driver.switch_to.active_element.tag_name == "input", browser, "")

    _press(browser, "/")
    _until(lambda: browser.driver.switch_to.active_element.tag_name == "input", browser, "search")
    _press(browser, "lamp" + Keys.ENTER)
    _until(lambda: _count(browser, ".hit") == 10, browser, "answers")
    _press(browser, Keys.ESCAPE)
    _press(browser, "j")
    _press(browser, "j")
    _press(browser, Keys.ENTER)
    _until(lambda: _count(browser, ".hit[open]") == 1, browser, "the second answer opens")
    is_second = "return document.querySelectorAll('.hit')[1].open"
    assert browser.driver.execute_script(is_second)
    assert "Attention of the item" in browser.text()
    _press(browser, "?")
    _until(lambda: _count(browser, "dialog[open]") == 1, browser, "the keys")


def test_single_keys_can_be_switched_off(browser: Browser, serve: Serve) -> None:
    """For whoever speaks to the machine, or whose keyboard repeats."""
    console = serve()
    browser.open(console.url)
    _shows(browser, "Nothing holds answers up")
    _press(browser, "?")
    _until(lambda: _count(browser, "dialog[open]") == 1, browser, "the keys")
    browser.driver.find_element("id", "keys-on").click()
    _press(browser, Keys.ESCAPE)
    _until(lambda: _count(browser, "dialog[open]") == 0, browser, "no dialog")
    _press(browser, "3")
    _press(browser, "4")
    on = "localStorage.removeItem('freshet-keys'); return location.hash"
    assert browser.driver.execute_script(on) in {"", "#/"}


def test_a_fault_is_seen_while_one_looks(browser: Browser, serve: Serve, shop: ToldShop) -> None:
    """The page follows by itself, says what is wrong and what to do, and keeps what is
    open and focused.
    """
    console = serve(every=1.0)
    browser.open(console.url)
    _shows(browser, "all well")
    summary = "details[data-keep='process tuner'] > summary"
    _done(
        lambda: browser.driver.find_element("css selector", summary).click(), browser, "the tuner"
    )
    shop.kill("stream-2")
    _shows(browser, "Held up: consumed", "no metrics at", "Next: ", "FreshetProcessDown".lower())
    focused = "return document.activeElement.closest('[data-keep]').dataset.keep"
    assert browser.driver.execute_script(focused) == "process tuner"
    assert _count(browser, "details[data-keep='process tuner'][open]") == 1
    assert _count(browser, ".stages li.blocked") == 1
    assert _count(browser, ".banner.bad") == 1
    shop.serve("stream-2")
    _shows(browser, "all well")


def test_answers_that_are_fresh_are_not_shown_in_red(
    browser: Browser, serve: Serve, shop: ToldShop
) -> None:
    """What is wrong and holds none of them up is a warning."""
    shop.streams[0].count_quarantined({"malformed": 300})
    browser.open(serve().url)
    _shows(browser, "Nothing holds answers up", "1 thing is wrong", "300 messages")

    assert (_count(browser, ".banner.warn"), _count(browser, ".banner.bad")) == (1, 0)


def test_the_console_itself_may_die(browser: Browser, serve: Serve) -> None:
    """What is shown is said to be from before, and not taken for the present."""
    console = serve(every=1.0)
    browser.open(console.url)
    _shows(browser, "all well")
    _kill(browser)
    _shows(browser, "does not answer any more", "not known")
    assert "all well" not in browser.text()
    browser.driver.set_network_conditions(offline=False, latency=0, throughput=-1)
    _shows(browser, "all well")


def _kill(browser: Browser) -> None:
    """Let the console be out of reach."""
    browser.driver.set_network_conditions(offline=True, latency=0, throughput=0)


def test_a_console_that_sees_nothing_any_more_says_so(
    browser: Browser, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last view is told to be old."""
    console = serve()
    view = console.watch.view
    assert view is not None
    old = type(view.look)(
        at_seconds=view.look.at_seconds - 200_000,
        processes=view.look.processes,
        samples=view.look.samples,
    )
    console.watch.view = type(view)(look=old, verdict=view.verdict, stages=view.stages)
    monkeypatch.setattr(Watch, "every_seconds", 1.0)
    browser.open(console.url)
    _shows(browser, "has not seen the processes for 2 d")


def test_a_refused_generation_shows_why(browser: Browser, serve: Serve, shop: ToldShop) -> None:
    """And the one that is live is marked."""
    refused = make_catalogue(20, ["lamp"])
    refused.passed_gate = False
    refused_id = shop.artifacts.write(refused)
    browser.open(f"{serve().url}#/generations")
    _shows(browser, refused_id, shop.generation)

    row = _text(browser, "xpath", f"//tr[contains(., '{refused_id}')]")
    live = _text(browser, "xpath", f"//tr[contains(., '{shop.generation}')]")
    assert "refused" in row
    assert "live" in live
    assert "passed" in live


def test_a_thousand_partitions_stay_usable(browser: Browser, serve: Serve, shop: ToldShop) -> None:
    """The worst are drawn first, the others on request, and a filter finds one."""
    places = [("clicks", number) for number in range(1000)]
    shop.lag(
        shop.streams[0],
        records=dict.fromkeys(places, 0) | {("clicks", 777): 5},
        seconds=dict.fromkeys(places, 0.0) | {("clicks", 777): 50.0},
        stuck_seconds=dict.fromkeys(places, 0.0) | {("clicks", 777): 45.0},
    )
    browser.open(f"{serve().url}#/partitions")
    _shows(browser, "1,000 partitions", "1 do not move")
    first = _text(browser, "css selector", "tbody tr")
    assert "777" in first
    assert _count(browser, "tbody tr") == 200
    every = "[data-keep='all']"
    _done(lambda: browser.driver.find_element("css selector", every).click(), browser, every)
    _until(lambda: _count(browser, "tbody tr") == 1000, browser, "all rows")
    find = browser.driver.find_element
    _done(lambda: find("id", "filter").send_keys("clicks-99"), browser, "the filter")
    _until(lambda: _count(browser, "tbody tr") == 11, browser, "99 and 990 to 999")
    assert browser.driver.execute_script("return document.activeElement.value") == "clicks-99"


def test_a_gate_without_reasons_takes_no_room_on_a_telephone(
    browser: Browser, serve: Serve
) -> None:
    """The columns behind it have to be seen, too."""
    browser.set_view(width=_NARROW, height=900)
    browser.open(f"{serve().url}#/generations")
    _shows(browser, "passed")
    width = "return document.querySelector('tbody td:nth-child(3)').offsetWidth"

    assert 0 < browser.driver.execute_script(width) < 120


def test_the_quarantine_names_its_commands_whole(
    browser: Browser, serve: Serve, shop: ToldShop
) -> None:
    """With the broker that the streams read."""
    shop.streams[0].count_quarantined({"malformed": 3})
    browser.open(f"{serve().url}#/quarantine")
    _shows(browser, "freshet quarantine list --kafka kafka:9092")
    _shows(browser, "freshet quarantine replay --kafka kafka:9092")


def test_empty_pages_say_why(browser: Browser, serve: Serve, shop: ToldShop) -> None:
    """No rejected record, no partition, no server: each in words."""
    console = serve()
    browser.open(f"{console.url}#/quarantine")
    _shows(browser, "Nothing was rejected since the streams started")
    browser.open(f"{console.url}#/partitions")
    _shows(browser, "The streams tell of no partition")
    shop.server.stop(grace_seconds=0)
    browser.open(f"{console.url}#/generations")
    _shows(browser, "No server says which generations there are")
    browser.open(f"{console.url}#/search?q=lamp")
    _shows(browser, shop.server.address)
    browser.open(f"{console.url}#/search?q=" + "%20")
    _shows(browser, "Asking counts as any shopper's call does")


def test_a_token_is_asked_for_and_kept_for_the_tab(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    """A wrong one is said to be wrong; nothing is shown before."""
    token, line = new_token("on-call")
    (tmp_path / "tokens").write_text(line + "\n")
    console = serve(tokens=tmp_path / "tokens")
    browser.open(console.url)
    _shows(browser, "This console asks for a token")
    assert "Processes" not in browser.text()
    for text, awaited in (("wrong", "this one is not good"), (token, "Nothing holds answers up")):
        field = browser.driver.find_element("id", "token-text")
        field.send_keys(text + Keys.ENTER)
        _shows(browser, awaited)
    assert not browser.driver.find_element("id", "token").is_displayed()
    browser.driver.execute_script("sessionStorage.clear()")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [_WIDE, _NARROW])
def test_pages_fit_and_can_be_read(
    browser: Browser, serve: Serve, shop: ToldShop, *, dark: bool, width: int
) -> None:
    """Wide and narrow, light and dark: nothing sticks out, text has contrast, controls
    have names.
    """
    shop.streams[0].count_quarantined({"malformed": 200})
    shop.kill("tuner")
    console = serve()
    browser.set_view(width=width, height=900, dark=dark)
    for path in ("", "#/search?q=lamp", "#/generations", "#/partitions", "#/quarantine"):
        browser.open(console.url + path)
        _until(lambda: _count(browser, "main h1") == 1, browser, path)
        run = browser.driver.execute_script

        assert run("return document.documentElement.scrollWidth") <= width, path
        assert run(_CONTRASTS) == [], path
        assert run(_NAMELESS) == [], path


# WCAG 2.1 (1.4.3): 4.5 to 1 between text and what is behind it, 3 to 1 for large text.
_CONTRASTS = """
const light = (rgb) => {
  const linear = (c) => (c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  const [r, g, b] = rgb.map((c) => linear(c / 255));
  return .2126 * r + .7152 * g + .0722 * b;
};
const parse = (text) => text.match(/[0-9.]+/g).map(Number);
const behind = (node) => {
  for (let each = node; each; each = each.parentElement) {
    const colour = parse(getComputedStyle(each).backgroundColor);
    if (colour.length === 3 || colour[3] > .99) return colour.slice(0, 3);
  }
  return [255, 255, 255];
};
const wrong = [];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
  if (!own || !node.getClientRects().length || node.closest("svg, noscript, .skip")) continue;
  const style = getComputedStyle(node);
  const [one, two] = [light(parse(style.color)), light(behind(node))].sort((a, b) => b - a);
  const is_large = parseFloat(style.fontSize) >= 24;
  const ratio = (one + .05) / (two + .05);
  if (ratio < (is_large ? 3 : 4.5)) wrong.push(`${ratio} ${node.outerHTML.slice(0, 80)}`);
}
return wrong;
"""

_NAMELESS = """
const wrong = [];
for (const node of document.querySelectorAll("button, input, select, a, summary, [role=img]")) {
  if (!node.getClientRects().length) continue;
  const own = node.getAttribute("aria-label") || node.innerText;
  const label = own || document.querySelector(`label[for="${node.id}"]`)?.innerText;
  if (!label || !label.trim()) wrong.push(node.outerHTML.slice(0, 90));
}
return wrong;
"""


def test_a_chart_can_be_read_by_keys(browser: Browser, serve: Serve) -> None:
    """What it shows at a moment is said in words, and stays said when it is redrawn."""
    console = serve(every=1.0)
    browser.open(console.url)
    _until(lambda: _count(browser, "svg[data-keep='ages']") == 1, browser, "the chart")
    focus = "document.querySelector(\"svg[data-keep='ages']\").focus()"
    browser.driver.execute_script(focus)
    _press(browser, Keys.ARROW_LEFT)
    said = "return document.querySelector('[aria-live=polite]').textContent"
    _until(lambda: "answers" in browser.driver.execute_script(said), browser, "words")
    before = len(console.watch.history._fine)
    _until(lambda: len(console.watch.history._fine) > before + 2, browser, "more looks")
    _until(lambda: "answers" in browser.driver.execute_script(said), browser, "still words")


def test_a_wrong_path_is_answered_in_words(browser: Browser, serve: Serve) -> None:
    """Not with an empty page."""
    browser.open(f"{serve().url}nowhere")
    _shows(browser, "there is nothing at /nowhere")
