"""The timeline page in a real browser: what it draws, and what mouse, keyboard and fingers do to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncfc import Call, Session, tool
from asyncfc.testing.loop import run_virtual
from asyncfc.trace import page as pages
from asyncfc.trace.trace import Trace
from benchmarks import page as benchmark
from tests import peers

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = '</script><script>window.broken=1</script><img src=x onerror="window.broken=2">'
CALLS = 300
Open = Callable[..., "Page"]


def page_of(trace: Trace) -> str:
    return pages.page(trace.report, trace.session)


async def _small(unit: float) -> str:
    """A write that waits for a value, a mail that waits for it and fails, a child, a call that runs on."""

    @tool(pure=True)
    async def find(city: str) -> dict[str, str]:
        await asyncio.sleep(2 * unit)
        return {"id": f"{city}-1"}

    @tool(writes="b.{flight}")
    async def book(flight: str) -> str:
        await asyncio.sleep(3 * unit)
        return HOSTILE

    @tool
    async def mail(text: str) -> None:
        await asyncio.sleep(unit)
        raise ConnectionError(text)

    @tool(pure=True)
    async def outer(city: str) -> str:
        [inner] = await session.submit([Call("c5", "find", {"city": city})])
        return str(await inner.future)

    async with Session([find, book, mail, outer], id=HOSTILE, trace=True) as session:
        with session.sampling():
            await asyncio.sleep(unit)
        [found, _] = await session.submit(
            [Call("c1", "find", {"city": "Rome"}), Call("c2", "outer", {"city": "Bern"})]
        )
        with session.sampling():
            await asyncio.sleep(unit)
        flight = f"{found.future}.id"
        await session.submit([Call("c3", "book", {"flight": flight}), Call("c4", "mail", {"text": HOSTILE})])
        await session.await_future()
        session.note_extra()
        with session.sampling():
            await asyncio.sleep(unit)
        await session.submit([Call("c6", "find", {"city": "Oslo"})])
        with session.sampling():
            await asyncio.sleep(unit)
        return page_of(session.trace)  # while the last call runs


async def _instant() -> str:
    @tool(pure=True)
    async def now() -> None:
        return None

    async with Session([now], trace=True) as session:
        await session.submit([Call("1", "now", {})])
        await session.await_future()
        return page_of(session.trace)


# Orders of the calls of the small run.
FIND, OUTER, INNER, BOOK, MAIL, LAST = 0, 1, 2, 3, 4, 5

PAGES: dict[str, Callable[[], str]] = {
    "small": lambda: run_virtual(lambda: _small(1.0)),
    "short": lambda: run_virtual(lambda: _small(1e-6)),
    "long": lambda: run_virtual(lambda: _small(4000.0)),
    "instant": lambda: run_virtual(_instant),
    "empty": lambda: page_of(Trace("empty")),
    "many": lambda: page_of(benchmark.make(CALLS)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages; made before the browser starts, whose driver has an event loop running all the time."""
    place = tmp_path_factory.mktemp("pages")
    for name, make in PAGES.items():
        (place / f"{name}.html").write_text(make(), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    path = peers.chromium()
    peers.require(path, "Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=path, args=args)
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser: Browser, folder: Path) -> Iterator[Open]:
    """Open a page; in the end none of them may have complained."""
    complaints: list[str] = []
    contexts = []

    def opened(name: str = "small", **settings: Any) -> Page:
        settings = {"viewport": {"width": 1200, "height": 700}, "reduced_motion": "reduce", **settings}
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _complain(complaints, request.url))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto((folder / f"{name}.html").as_uri())
        page.wait_for_function("window.asyncfcTimeline.ready")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _complain(complaints: list[str], url: str) -> None:
    if not url.startswith("file:"):
        complaints.append(url)


def ask(page: Page, what: str) -> Any:
    """A property of the page's own object, after all that was asked for has been drawn."""
    return page.evaluate(
        "(what) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame("
        "() => done(window.asyncfcTimeline[what]))))",
        what,
    )


def place(page: Page, order: int) -> dict[str, float]:
    found: dict[str, float] = page.evaluate("(order) => window.asyncfcTimeline.place(order)", order)
    return found


def over(page: Page, order: int, share: float = 0.5) -> tuple[float, float]:
    """A point of a call's bar."""
    at = place(page, order)
    return at["from"] + share * (at["to"] - at["from"]), at["y"]


def pixel(page: Page, x: float, y: float) -> list[int]:
    """What is drawn at a point of the window: red, green, blue."""
    found: list[int] = page.evaluate(
        """([x, y]) => {
          const canvas = document.getElementById("canvas");
          const box = canvas.getBoundingClientRect();
          const ratio = canvas.width / box.width;
          const [px, py] = [Math.floor((x - box.left) * ratio), Math.floor((y - box.top) * ratio)];
          const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          copy.drawImage(canvas, -px, -py);
          return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }""",
        [x, y],
    )
    return found


def colour(page: Page, name: str) -> list[int]:
    """A colour of the style sheet, in the theme in force."""
    found: list[int] = page.evaluate(
        """(name) => {
          const probe = document.createElement("i");
          document.body.append(probe);
          probe.style.color = `var(--${name})`;
          const found = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number);
          probe.remove();
          return found;
        }""",
        name,
    )
    return found


# What is drawn


@pytest.mark.parametrize(("name", "rows"), [("short", 6), ("long", 6), ("instant", 1), ("empty", 0)])
def test_odd_runs_are_drawn(show: Open, name: str, rows: int) -> None:
    page = show(name)
    assert ask(page, "drawn") == rows
    start, stop = ask(page, "visible")
    assert start < stop


def test_no_value_becomes_a_part_of_the_page(show: Open) -> None:
    page = show()
    page.evaluate(f"window.asyncfcTimeline.select({BOOK})")
    assert page.locator("#session").inner_text() == HOSTILE
    assert page.locator("#detail pre").last.inner_text() == HOSTILE
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2


def test_a_bar_is_drawn_where_and_as_its_call_ended(show: Open) -> None:
    page = show()
    for order, name in ((FIND, "value"), (MAIL, "failure"), (LAST, "open")):
        assert pixel(page, *over(page, order, 0.7)) == colour(page, name)


def test_what_a_call_waited_for_is_drawn_before_its_bar(show: Open) -> None:
    page = show()
    for order, name in ((BOOK, "wait-data"), (MAIL, "wait-effect")):
        x, y = over(page, order, 0)
        assert pixel(page, x - 20, y) == colour(page, name)


def test_the_drawing_follows_the_pixels_of_the_screen(show: Open) -> None:
    page = show(device_scale_factor=2)
    assert page.evaluate("document.getElementById('canvas').width") == 2400
    assert pixel(page, *over(page, FIND, 0.7)) == colour(page, "value")


def test_the_drawing_follows_the_window(show: Open) -> None:
    page = show()
    page.set_viewport_size({"width": 900, "height": 600})
    ask(page, "drawn")
    assert page.evaluate("document.getElementById('canvas').width") == 900
    assert pixel(page, *over(page, FIND, 0.7)) == colour(page, "value")


def test_only_rows_in_sight_are_drawn(show: Open) -> None:
    page = show("many")
    assert 0 < ask(page, "drawn") < 40
    page.locator("#scroller").evaluate("(node) => { node.scrollTop = 4000; }")
    assert 0 < ask(page, "drawn") < 40


def test_a_page_is_as_good_on_a_telephone(show: Open) -> None:
    page = show("many", viewport={"width": 360, "height": 640})
    page.evaluate("window.asyncfcTimeline.select(40)")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    top = page.locator("#detail").bounding_box()
    assert top is not None
    assert place(page, 40)["y"] < top["y"]


def test_a_page_in_a_frame_that_gets_its_size_late_shows_as_much(show: Open) -> None:
    page = show("many", viewport={"width": 300, "height": 30})
    page.set_viewport_size({"width": 1200, "height": 700})
    ask(page, "drawn")
    late = ask(page, "visible")
    assert late == pytest.approx(ask(show("many"), "visible"))
    page.keyboard.press("+")
    moved = ask(page, "visible")
    page.set_viewport_size({"width": 1000, "height": 600})
    assert ask(page, "visible") == moved


def test_it_says_in_words_what_it_draws(show: Open) -> None:
    page = show()
    assert page.locator("#canvas").get_attribute("aria-describedby") == "summary"
    said = page.locator("#summary").text_content() or ""
    assert "calls: 6" in said
    assert "failure: 1" in said


# Themes


PAIRS = [
    *((text, back) for text in ("ink", "muted", "accent") for back in ("bg", "panel", "raised", "picked")),
    *(("on-bar", kind) for kind in ("value", "failure", "cancelled", "withheld", "open", "model")),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(show: Open, theme: str) -> None:
    page = show(color_scheme=theme)
    for text, back in PAIRS:
        assert _contrast(colour(page, text), colour(page, back)) >= 4.5, (text, back)


def _contrast(one: list[int], other: list[int]) -> float:
    """As WCAG 2 defines it."""

    def light(parts: list[int]) -> float:
        linear = [part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_theme_is_that_of_the_system_until_it_is_chosen_and_then_kept(show: Open) -> None:
    page = show(color_scheme="dark")
    assert ask(page, "dark") is True
    assert pixel(page, *over(page, FIND, 0.7)) == colour(page, "value")
    page.keyboard.press("t")
    assert ask(page, "dark") is False
    assert pixel(page, *over(page, FIND, 0.7)) == colour(page, "value")
    page.reload()
    assert ask(page, "dark") is False


# Selecting


def test_a_click_shows_all_about_a_call_and_escape_hides_it(show: Open) -> None:
    page = show()
    page.mouse.click(*over(page, MAIL))
    assert ask(page, "selection") == MAIL
    detail = page.locator("#detail")
    text = detail.inner_text()
    assert "mail" in text
    assert "ConnectionError" in text
    assert "waited" in text
    page.keyboard.press("Escape")
    assert ask(page, "selection") is None
    assert detail.is_hidden()


def test_a_link_goes_to_the_call_that_was_waited_for(show: Open) -> None:
    page = show()
    page.mouse.click(*over(page, BOOK))
    page.locator("#detail li .link").first.click()
    assert ask(page, "selection") == FIND
    page.locator("#detail li .link", has_text="book").click()
    assert ask(page, "selection") == BOOK


def test_a_message_can_be_looked_at(show: Open) -> None:
    page = show()
    at = place(page, FIND)
    top = page.locator("#canvas").bounding_box()
    assert top is not None
    page.mouse.click(at["from"] - 20, top["y"] + 42)
    assert ask(page, "message") == 1
    page.locator("#detail .link", has_text="outer").click()
    assert ask(page, "selection") == OUTER


def test_arrows_go_along_rows_and_along_reasons(show: Open) -> None:
    page = show()
    visited = []
    for way in ("Down", "Down", "Down", "Down", "Left", "Left", "Right", "Up"):
        page.keyboard.press(f"Arrow{way}")
        visited.append(ask(page, "selection"))
    # The longest wait of the mail is for the booking, and that one's for the flight that was found.
    assert visited == [FIND, OUTER, INNER, BOOK, FIND, FIND, BOOK, INNER]


def test_hovering_says_what_goes_on(show: Open) -> None:
    page = show()
    tip = page.locator("#tip")
    page.mouse.move(*over(page, BOOK))
    assert "Runs." in tip.inner_text()
    x, y = over(page, BOOK, 0)
    page.mouse.move(x - 20, y)
    assert "for the value of find" in tip.inner_text()
    page.mouse.move(5, 5)
    assert tip.is_hidden()


# Moving


def test_control_and_wheel_zoom_around_the_pointer(show: Open) -> None:
    page = show()
    before = ask(page, "visible")
    x, y = map(round, over(page, BOOK, 0.1))
    beside = place(page, BOOK)["from"] - x
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    start, stop = ask(page, "visible")
    factor = (before[1] - before[0]) / (stop - start)
    assert factor > 1.6
    assert place(page, BOOK)["from"] == pytest.approx(x + factor * beside, abs=0.5)


def test_shift_and_wheel_and_dragging_pan(show: Open) -> None:
    page = show()
    page.evaluate("window.asyncfcTimeline.show(2, 4)")
    page.mouse.move(*over(page, BOOK, 0.1))
    page.keyboard.down("Shift")
    page.mouse.wheel(0, 100)
    page.keyboard.up("Shift")
    panned = ask(page, "visible")
    assert panned[0] > 2
    x, y = over(page, BOOK, 0.3)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y)
    page.mouse.up()
    assert place(page, BOOK)["from"] == pytest.approx(
        x + 50 - 0.3 * (place(page, BOOK)["to"] - place(page, BOOK)["from"]), abs=1
    )
    assert ask(page, "selection") is None


def test_keys_zoom_pan_and_fit(show: Open) -> None:
    page = show()
    whole = ask(page, "visible")
    page.keyboard.press("+")
    near = ask(page, "visible")
    assert near[1] - near[0] == pytest.approx(0.6 * (whole[1] - whole[0]))
    page.keyboard.press("]")
    assert ask(page, "visible")[0] == pytest.approx(near[0] + 0.3 * (near[1] - near[0]))
    for key in ("0", "f"):
        page.keyboard.press("+")
        page.keyboard.press(key)
        assert ask(page, "visible") == pytest.approx(whole)


def test_scrolling_keeps_calls_in_the_window(show: Open) -> None:
    page = show("many")
    page.evaluate("window.asyncfcTimeline.show(0, 10)")
    page.locator("#scroller").evaluate("(node) => { node.scrollTop = 200 * 26; }")
    start, _ = ask(page, "visible")
    assert start > 10
    page.locator("#scroller").evaluate("(node) => { node.scrollTop = 0; }")
    assert ask(page, "visible")[0] < 8


def test_a_selected_call_comes_into_sight(show: Open) -> None:
    page = show("many")
    page.evaluate("window.asyncfcTimeline.show(0, 10)")
    page.evaluate("window.asyncfcTimeline.select(250)")
    ask(page, "drawn")
    at = place(page, 250)
    assert 0 < at["from"] < 1200
    assert 0 < at["y"] < 700


def test_the_brush_moves_and_resizes_the_window(show: Open) -> None:
    page = show()
    page.evaluate("window.asyncfcTimeline.show(2, 4)")
    ask(page, "drawn")
    box = page.locator("#brush").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    _drag(page, middle, 60)
    moved = ask(page, "visible")
    assert moved[0] > 2.1
    assert moved[1] - moved[0] == pytest.approx(2)
    _drag(page, (box["x"] + 60 + box["width"], middle[1]), 40)
    resized = ask(page, "visible")
    assert resized[0] == pytest.approx(moved[0])
    assert resized[1] > moved[1] + 0.1
    page.mouse.dblclick(middle[0] + 60, middle[1])
    assert ask(page, "visible")[0] < 0


def _drag(page: Page, start: tuple[float, float], dx: float) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + dx, start[1], steps=3)
    page.mouse.up()


# Finding


def test_a_search_counts_and_goes_from_match_to_match(show: Open) -> None:
    page = show()
    page.keyboard.press("/")
    page.keyboard.type("FIND")
    assert ask(page, "matches") == 3
    assert page.locator("#found").inner_text() == "3"
    visited = []
    for key in ("Enter", "Enter", "Shift+Enter", "Shift+Enter"):
        page.keyboard.press(key)
        visited.append(ask(page, "selection"))
    assert visited == [FIND, INNER, FIND, LAST]
    assert page.locator("#found").inner_text() == "3 of 3"
    assert pixel(page, *over(page, BOOK, 0.7)) != colour(page, "value")
    page.keyboard.press("Escape")
    assert ask(page, "matches") is None


@pytest.mark.parametrize(("words", "count"), [("rome-1", 2), ("c4", 1), ("hostile", 0), ("onerror", 2)])
def test_a_search_looks_at_arguments_results_and_ids(show: Open, words: str, count: int) -> None:
    page = show()
    page.evaluate("(words) => window.asyncfcTimeline.search(words)", words)
    assert ask(page, "matches") == count


def test_chips_leave_only_some_calls(show: Open) -> None:
    page = show()
    failures = page.locator("#chips button", has_text="failures")
    failures.click()
    assert failures.get_attribute("aria-pressed") == "true"
    assert ask(page, "drawn") == 1
    page.locator("#chips button", has_text="find").click()
    assert ask(page, "drawn") == 0
    failures.click()
    assert ask(page, "drawn") == 3


# Modes


def test_packed_all_calls_are_seen_at_once(show: Open) -> None:
    page = show("many")
    page.keyboard.press("p")
    assert ask(page, "drawn") == CALLS
    assert page.locator("#pack").get_attribute("aria-pressed") == "true"
    page.keyboard.press("p")
    assert ask(page, "drawn") < CALLS


def test_packed_bars_of_a_tool_lie_side_by_side(show: Open) -> None:
    page = show()
    page.evaluate("window.asyncfcTimeline.pack(true)")
    places = [place(page, order) for order in (FIND, INNER, LAST)]
    assert places[0]["y"] != places[1]["y"]  # they run at the same time
    assert places[0]["y"] == places[2]["y"]
    page.mouse.click(*over(page, INNER))
    assert ask(page, "selection") == INNER


def test_the_critical_path_comes_and_goes(show: Open) -> None:
    page = show()
    at = place(page, BOOK)
    edge = (at["from"] + 30, at["y"] - 9)
    assert pixel(page, *edge) == colour(page, "ink")
    page.keyboard.press("c")
    assert ask(page, "critical") is False
    assert pixel(page, *edge) != colour(page, "ink")


def test_the_list_of_keys_opens_and_closes(show: Open) -> None:
    page = show()
    page.keyboard.press("?")
    keys = page.locator("#keys")
    assert keys.is_visible()
    assert "critical path" in keys.inner_text()
    page.keyboard.press("p")
    assert ask(page, "packed") is False
    page.keyboard.press("Escape")
    assert keys.is_hidden()
