"""The race of polling against push, as a browser shows it in JupyterLab."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from race_notebook import INTERVAL, RACE, SERVE, STOP, Counted, write_notebook

from wirelab import serve
from wirelab.apps.feed import create_app
from wirelab.live import Race

if TYPE_CHECKING:
    from jupyterlab_driver import Notebook
    from playwright.sync_api import Browser

    OpenNotebook = Callable[..., Notebook]

SERVE_CELL, RACE_CELL, INTERVAL_CELL, STOP_CELL = range(4)
STOPPED = "Server stopped. Run the cell again."

LANES = ("poll", "push")
# What the fields of each lane say, all read at the same moment.
LOOK = """() => Object.fromEntries([...document.querySelectorAll(".wirelab-race .lane")].map((lane) =>
    [lane.dataset.lane, Object.fromEntries([...lane.querySelectorAll("[data-field]")].map((field) =>
        [field.dataset.field, field.textContent]))]))"""
SEEN = """([lane, count]) =>
    Number(document.querySelector(`[data-lane=${lane}] [data-field=seen]`)?.textContent) >= count"""


def seconds(text: str) -> float:
    return float(text.removesuffix(" s"))


class RaceOnPage:
    """A notebook whose race is served, with the server's own view of it."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.page = notebook.page
        notebook.run_cell(SERVE_CELL)
        self.feed = notebook.outputs[SERVE_CELL].strip()

    def get(self, path: str) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.feed + path, timeout=10).json()

    def look(self) -> dict[str, dict[str, str]]:
        return self.page.evaluate(LOOK)  # type: ignore[no-any-return]

    def wait_until_seen(self, count: int) -> None:
        for lane in LANES:
            self.page.wait_for_function(SEEN, arg=[lane, count], timeout=30_000)

    def wait_for_sockets(self, count: int) -> None:
        """Wait until the server holds `count` WebSockets."""
        deadline = time.monotonic() + 20
        while (counts := self.get("/counts"))["open"] != count:
            assert time.monotonic() < deadline, f"{counts}, but {count} open WebSockets expected"
            self.page.wait_for_timeout(50)

    def polls_per_second(self, seconds: float) -> float:
        start, before = time.monotonic(), self.get("/counts")["polls"]
        self.page.wait_for_timeout(1000 * seconds)
        return float((self.get("/counts")["polls"] - before) / (time.monotonic() - start))


@pytest.fixture
def ready(open_notebook: OpenNotebook, tmp_path: Path, request: pytest.FixtureRequest) -> RaceOnPage:
    """A race about to be shown; parametrise indirectly with options of the browser's context."""
    notebook = write_notebook(tmp_path / "race.ipynb", SERVE, RACE, INTERVAL, STOP)
    return RaceOnPage(open_notebook(notebook, **getattr(request, "param", {})))


@pytest.fixture
def race(ready: RaceOnPage) -> RaceOnPage:
    """A race that runs."""
    ready.notebook.run_cell(RACE_CELL)
    ready.wait_until_seen(2)
    return ready


def test_both_lanes_move_and_polling_lags_behind(race: RaceOnPage) -> None:
    looks = []
    for _ in range(30):
        looks.append(race.look())
        race.page.wait_for_timeout(100)

    values = {lane: {look[lane]["value"] for look in looks} for lane in LANES}
    ages = {lane: [seconds(look[lane]["age"]) for look in looks] for lane in LANES}
    assert len(values["push"]) > len(values["poll"]) > 1
    assert sum(ages["poll"]) > 1.5 * sum(ages["push"])
    last = looks[-1]
    assert (last["push"]["missed"], last["push"]["requests"]) == ("0", "1")
    assert int(last["poll"]["missed"]) > int(last["poll"]["seen"])
    assert int(last["poll"]["requests"]) >= int(last["poll"]["seen"])
    share = {lane: float(last[lane]["share"].split(" %")[0]) for lane in LANES}
    assert share["poll"] > 5 * share["push"]

    before = time.perf_counter()
    look = race.look()
    after = time.perf_counter()
    updates = race.get("/updates?after=0")
    for lane in LANES:
        value, age = float(look[lane]["value"]), seconds(look[lane]["age"])
        made = [update["emitted_at"] for update in updates if update["value"] == value]
        # The page writes ages ten times a second, when it is not kept from it.
        assert any(before - at - 0.4 < age < after - at + 0.1 for at in made), (age, before, made)


def test_slider_sets_the_rate_of_requests(race: RaceOnPage) -> None:
    slow = race.polls_per_second(3)
    race.page.get_by_label("Poll every").press("Home")
    race.page.wait_for_function(f"({LOOK})().poll.how === 'the page asks every 0.1 s'")
    fast = race.polls_per_second(3)
    assert fast > 3 * slow
    race.notebook.run_cell(INTERVAL_CELL)
    assert race.notebook.outputs[INTERVAL_CELL].strip() == "0.1"


def test_one_connection_while_it_is_seen_and_none_otherwise(race: RaceOnPage) -> None:
    race.notebook.run_cell(RACE_CELL)
    race.notebook.run_cell(RACE_CELL)
    race.wait_until_seen(2)
    race.wait_for_sockets(1)
    assert race.polls_per_second(3) < 2

    toggle = race.page.get_by_role("button", name="Pause", exact=True)
    toggle.press("Space")
    race.wait_for_sockets(0)
    race.page.get_by_role("button", name="Start", exact=True).press("Enter")
    race.wait_for_sockets(1)

    race.page.evaluate("() => { jupyterapp.commands.execute('launcher:create'); }")
    race.wait_for_sockets(0)
    assert race.polls_per_second(2) == 0
    race.page.get_by_role("tab", name="race.ipynb").click()
    race.wait_for_sockets(1)

    race.page.evaluate("() => { jupyterapp.commands.execute('notebook:clear-all-cell-outputs'); }")
    race.wait_for_sockets(0)
    assert race.polls_per_second(2) == 0


def test_cleanup_ends_a_race_that_is_still_in_the_page(browser: Browser) -> None:
    app = Counted(create_app(every=0.3))
    with serve(app) as feed, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{feed.http}/latest")
        page.evaluate(
            """async ([script, base]) => {
                const module = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
                const { default: widget } = await import(module);
                const state = { _base: base, _latest: "/latest", _stream: "/stream", _limits: [0.1, 5], every: 1 };
                const model = { get: (name) => state[name], on() {}, off() {} };
                const el = document.body.appendChild(document.createElement("div"));
                window.cleanUp = widget.render({ model, el });
            }""",
            [Race._esm, feed.http],
        )
        page.wait_for_function(SEEN, arg=["push", 2])
        assert app.open == 1
        page.evaluate("() => window.cleanUp()")
        deadline = time.monotonic() + 20
        while app.open:
            assert time.monotonic() < deadline, "the WebSocket is still open"
            page.wait_for_timeout(50)


def test_lanes_say_that_the_server_stopped(race: RaceOnPage) -> None:
    race.notebook.run_cell(STOP_CELL)
    for lane in LANES:
        trouble = race.page.locator(f"[data-lane={lane}] [data-field=trouble]")
        trouble.get_by_text(STOPPED).wait_for(timeout=20_000)
        assert not race.page.locator(f"[data-lane={lane}] [data-field=value]").is_visible()
    race.page.get_by_role("button", name="Start", exact=True).click()
    race.page.locator("[data-field=notice]").get_by_text(STOPPED).wait_for()


def test_tries_the_direct_way_then_the_proxy_and_says_when_neither_leads_there(ready: RaceOnPage) -> None:
    pytest.importorskip("jupyter_server_proxy", reason="needs the package jupyter-server-proxy")
    page, port = ready.page, ready.feed.rpartition(":")[2]
    streams: list[str] = []
    page.on("websocket", lambda socket: streams.append(socket.url))

    page.route(f"{ready.feed}/**", lambda route: route.abort())
    page.route("**/proxy/**", lambda route: route.fulfill(status=404))
    ready.notebook.run_cell(RACE_CELL)
    notice = page.locator("[data-field=notice]", has_text="install jupyter-server-proxy there")
    notice.wait_for()
    assert ready.feed in notice.inner_text()
    assert ready.look()["poll"]["requests"] == "0"

    page.unroute("**/proxy/**")
    page.get_by_role("button", name="Start", exact=True).click()
    ready.wait_until_seen(3)
    assert [url.partition("/proxy/")[2] for url in streams if "stream" in url] == [f"{port}/stream"]
    assert notice.count() == 0

    ready.notebook.run_cell(STOP_CELL)
    page.locator(".lane [data-field=trouble]", has_text=STOPPED).nth(1).wait_for(timeout=30_000)


@pytest.mark.parametrize("ready", [{"reduced_motion": "reduce"}], indirect=True, ids=["reduced motion"])
def test_spares_those_whom_motion_harms_and_speaks_to_those_who_listen(race: RaceOnPage) -> None:
    changes = race.page.evaluate(
        """() => new Promise((resolve) => {
            let changes = 0;
            const watch = new MutationObserver(() => (changes += 1));
            watch.observe(document.querySelector("[data-lane=push] [data-field=age]"), { childList: true });
            setTimeout(() => resolve(changes), 3000);
        })"""
    )
    assert 1 <= changes <= 4

    assert race.page.get_by_role("group", name="Polling against push, live").is_visible()
    assert race.page.get_by_role("slider", name="Poll every").get_attribute("aria-valuetext") == "1 seconds"
    for name in ("Polling", "Push"):
        assert race.page.get_by_role("region", name=name, exact=True).get_by_role("img").is_visible()
    # Nothing that changes many times a second may be read out.
    live = race.page.locator(".wirelab-race :is([aria-live], [role=status], output)")
    assert {live.nth(n).get_attribute("data-field") for n in range(live.count())} == {"notice", "trouble"}
