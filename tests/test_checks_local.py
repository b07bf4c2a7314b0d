"""The notebook's target: what it starts, how calls reach a child, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from wirelab import serve
from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab, NotAttempted, NotStarted, RemoteError, local
from wirelab.checks.local import LocalTarget

LAB = Lab("lab", "A lab", {"app": "asgi", "make": "asgi_factory", "handler": "websocket"}, {})
state = {"visits": 0}


async def app(scope, receive, send):
    if scope["type"] == "http":
        state["visits"] += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(state["visits"]).encode()})


def make(greeting):
    async def made(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": greeting.encode()})

    return made


async def handler(connection):
    await connection.send("hello")


async def count(start):
    try:
        for number in range(start, start + 3):
            yield number
    finally:
        state["closed"] = True


def add(a, b):
    return a + b


async def add_later(a, b):
    return a + b


async def pair():
    return 1, {"2": [None]}


class Refusal(PermissionError):
    pass


def refuse():
    raise Refusal("not you")


def leave():
    os._exit(1)


def secret():
    return state


@contextlib.asynccontextmanager
async def mirror(start):
    async with asyncio.timeout(30):
        value = {"seen": start}
        yield value


async def where():
    return [os.getpid(), threading.get_ident()]


async def places():
    yield await where()


@contextlib.asynccontextmanager
async def place():
    yield await where()


async def wait_long():
    await asyncio.sleep(600)


OBJECTS = {name: value for name, value in globals().items() if callable(value)}


@pytest.fixture(params=["fork", "thread"])
def way(request, monkeypatch):
    if request.param == "thread":
        monkeypatch.setattr(local, "CAN_FORK", False)
    elif not local.CAN_FORK:
        pytest.skip("there is no fork here")
    return request.param


@pytest.fixture
def forks():
    if not local.CAN_FORK:
        pytest.skip("there is no fork here")


def on_target(work, objects=OBJECTS, seconds=30):
    async def run():
        async with asyncio.timeout(seconds), LocalTarget(LAB, objects) as target:
            return await work(target)

    return asyncio.run(run())


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_application_is_served(way):
    async def work(target):
        async with target.serve("app") as served:
            return await asyncio.to_thread(get, served.http)

    state["visits"] = 41
    assert on_target(work) == "42"


def test_each_start_is_a_copy_of_the_notebook(forks):
    async def work(target):
        answers = []
        for _ in range(2):
            async with target.serve("app") as served:
                answers.append(await asyncio.to_thread(get, served.http))
        return answers

    state["visits"] = 0
    assert on_target(work) == ["1", "1"]
    assert state["visits"] == 0


def test_factory_is_called(way):
    async def work(target):
        async with target.serve("make", "good day") as served:
            return await asyncio.to_thread(get, served.http)

    assert on_target(work) == "good day"


def test_websocket_handler_is_served_with_options(way):
    from websockets.asyncio.client import connect

    async def work(target):
        async with (
            target.serve("handler", subprotocols=["hi"]) as served,
            connect(served.ws, subprotocols=["hi"], proxy=None) as connection,
        ):
            return await connection.recv(), connection.subprotocol

    assert on_target(work) == ("hello", "hi")


def test_functions_are_called_where_they_live(way):
    async def work(target):
        return await target.call("add", 1, 2), await target.call("add_later", 3, 4), await target.call("pair")

    assert on_target(work) == (3, 7, [1, {"2": [None]}])


def test_calls_share_one_process(way):
    async def work(target):
        items = [item async for item in target.iterate("count", 5)]
        return items, await target.call("secret")

    state.pop("closed", None)
    items, seen = on_target(work)
    assert items == [5, 6, 7]
    assert seen["closed"] is True
    assert ("closed" in state) == (way == "thread")


def test_first_calls_at_once_share_one_process(way):
    async def entered(target):
        async with target.enter("place") as value:
            return await value.value()

    async def work(target):
        calls = [target.call("where") for _ in range(5)]
        return await asyncio.gather(
            *calls, anext(target.iterate("places")), anext(target.iterate("places")), entered(target)
        )

    first, *others = on_target(work)
    assert others == 7 * [first]


def test_start_that_fails_tells_all_and_can_be_tried_again(forks, monkeypatch):
    starts = []

    @contextlib.asynccontextmanager
    async def no_child(objects):
        starts.append(objects)
        await asyncio.sleep(0)
        raise NotStarted("no room.")
        yield

    async def work(target):
        with monkeypatch.context() as patch:
            patch.setattr(local, "_child", no_child)
            told = await asyncio.gather(*(target.call("where") for _ in range(8)), return_exceptions=True)
        return told, await target.call("add", 1, 2)

    told, answer = on_target(work)
    assert [str(error) for error in told] == 8 * ["no room."]
    assert len(starts) == 1
    assert answer == 3


def test_first_caller_may_give_up_while_the_process_starts(forks, monkeypatch):
    child, begun, may_go_on = local._child, asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def slow_child(objects):
        begun.set()
        await may_go_on.wait()
        async with child(objects) as made:
            yield made

    async def work(target):
        first, second = [asyncio.ensure_future(target.call("add", 1, number)) for number in (1, 2)]
        await begun.wait()
        first.cancel()
        await asyncio.wait([first])
        may_go_on.set()
        return first.cancelled(), await second

    monkeypatch.setattr(local, "_child", slow_child)
    assert on_target(work) == (True, 3)


def test_target_that_is_left_ends_a_start(forks, monkeypatch):
    begun, ended = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def stuck_child(objects):
        begun.set()
        try:
            await asyncio.sleep(600)
            yield
        finally:
            ended.set()

    async def work(target):
        calling = asyncio.ensure_future(target.call("where"))
        await begun.wait()
        return calling

    monkeypatch.setattr(local, "_child", stuck_child)
    on_target(work)
    assert ended.is_set()


def test_generator_stays_ended_and_can_be_closed(way):
    async def work(target):
        numbers = target.iterate("count", 0)
        first = await anext(numbers)
        await numbers.aclose()
        again = [item async for item in numbers]
        closed = (await target.call("secret"))["closed"]
        return first, again, closed

    state.pop("closed", None)
    assert on_target(work) == (0, [], True)


def test_context_manager_is_entered_and_left_in_one_task(way):
    async def work(target):
        async with target.enter("mirror", 7) as value:
            return await value.value()

    assert on_target(work) == {"seen": 7}


def test_exception_comes_back_with_its_classes(way):
    async def work(target):
        with pytest.raises(RemoteError, match="Refusal: not you") as caught:
            await target.call("refuse")
        return caught.value

    error = on_target(work)
    assert error.names[:2] == ("Refusal", "PermissionError")
    assert error.text == "not you"


def test_what_is_no_generator_is_named(way):
    async def work(target):
        with pytest.raises(RemoteError, match=r"add\(\) gave a int, not an async generator"):
            await anext(target.iterate("add", 1, 2))

    on_target(work)


def test_value_that_is_no_data_is_an_error(way):
    async def work(target):
        with pytest.raises(RemoteError, match=r"TypeError: .*not JSON serializable"):
            await target.call("make", "x")

    on_target(work)


def test_missing_names_are_told(way):
    async def work(target):
        with pytest.raises(NotStarted, match=r"there is no nothing\(\)"):
            await target.call("nothing")
        with pytest.raises(NotStarted, match="there is no app"):
            async with target.serve("app"):
                pass

    on_target(work, {"add": add})


def test_fresh_interpreter_is_refused(way):
    async def work(target):
        with pytest.raises(NotStarted, match="fresh interpreter"):
            async with target.serve("app", own_interpreter=True):
                pass

    on_target(work)


def test_call_given_up_leaves_the_process_ready(way):
    async def work(target):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await target.call("wait_long")
        return await target.call("add", 1, 1)

    assert on_target(work) == 2


def test_process_that_ends_is_told(forks):
    async def work(target):
        with pytest.raises(RemoteError, match="the process that ran the code ended"):
            await target.call("leave")

    on_target(work)


def test_killed_server_refuses_connections(forks):
    async def work(target):
        async with target.serve("app") as served:
            await served.kill()
            with pytest.raises(OSError, match="refused"):
                await asyncio.to_thread(get, served.http)
            assert await served.errors() == []

    on_target(work)


def test_nothing_is_left(way):
    async def work(target):
        async with target.serve("app") as served:
            await asyncio.to_thread(get, served.http)
        await target.call("add", 1, 1)

    on_target(work)
    handles, threads = len(os.listdir("/dev/fd")), threading.active_count()
    for _ in range(5):
        on_target(work)
    assert len(os.listdir("/dev/fd")) == handles
    assert threading.active_count() == threads
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_child_lets_go_of_the_notebooks_own_servers(forks):
    async def work(target):
        async with target.serve("app"):
            server.stop()
            with socket.create_server(("127.0.0.1", server.port)):
                return True

    server = serve(app)
    assert on_target(work)


def test_child_ends_with_its_kernel_even_when_it_is_stuck(forks, tmp_path):
    program = f"""
import os
from wirelab.lab import open_lab
async def app(scope, receive, send):
    open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
    while True:
        pass
open_lab("01_todo_api").check("read", app)
"""
    kernel = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        child = int((tmp_path / "pid").read_text())
        assert running(child)
    finally:
        kernel.kill()
        kernel.wait()
    wait_for(lambda: not running(child))


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(pid):
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def exercise(*judges, deadline=5.0, untouched=None):
    checks = tuple(Check(f"try.{n}", 1.0, f"It does {n}.", "It matters.", judge) for n, judge in enumerate(judges))

    @contextlib.asynccontextmanager
    async def opens(target):
        yield target

    async def nothing(target):
        if untouched:
            raise untouched

    return Lab(
        "lab", "A lab", {}, {"try": Exercise("try", "Try", ("a", "b", "c"), checks, (), opens, nothing, deadline)}
    )


def outcomes(lab):
    return [(r.passed, r.score, r.message, r.hint) for r in asyncio.run(lab.run("try", LocalTarget(lab, {})))]


async def passes(target):
    return None


async def passes_with_a_note(target):
    return "(And so on.)"


async def fails(target):
    raise Failed("Sent a; got b; expected c.")


async def cannot(target):
    raise CannotJudge("no todo.")


async def breaks(target):
    raise KeyError("x")


async def hangs(target):
    await asyncio.sleep(600)


def test_each_check_gets_its_result():
    assert outcomes(exercise(passes, passes_with_a_note, fails, cannot, breaks)) == [
        (True, 1.0, "As expected: It does 0.", ""),
        (True, 1.0, "As expected: It does 1. (And so on.)", ""),
        (False, 0.0, "Sent a; got b; expected c.", "a"),
        (None, 0.0, "Could not run: no todo.", "a"),
        (None, 0.0, "Could not run: the check itself broke, please report it (KeyError: 'x').", "a"),
    ]


def test_deadline_of_an_exercise_costs_what_is_left_of_it():
    late = "Could not run: the 0.2 seconds of this exercise were over."
    assert outcomes(exercise(passes, hangs, passes, deadline=0.2)) == [
        (True, 1.0, "As expected: It does 0.", ""),
        (None, 0.0, late, "a"),
        (None, 0.0, late, "a"),
    ]


@pytest.mark.parametrize(
    ("untouched", "expected"),
    [
        (NotAttempted("it answers 501."), [(None, 0.0, "Not attempted: it answers 501.", "a")]),
        (NotStarted("no app."), [(None, 0.0, "Could not run: no app.", "a")]),
        (Failed("it hangs."), [(True, 1.0, "As expected: It does 0.", "")]),
    ],
)
def test_first_look_decides_whether_checks_run(untouched, expected):
    assert outcomes(exercise(passes, untouched=untouched)) == expected


def test_reason_for_a_whole_exercise():
    results = exercise(passes, fails).not_run("try", "Could not run: no file.")
    assert [(r.id, r.passed, r.message) for r in results] == [
        ("try.0", None, "Could not run: no file."),
        ("try.1", None, "Could not run: no file."),
    ]


def test_signals_to_the_group_of_a_child_do_not_reach_the_notebook(forks):
    async def shoots(scope, receive, send):
        if scope["type"] == "http":
            os.killpg(0, signal.SIGTERM)

    async def work(target):
        async with target.serve("app") as served:
            with pytest.raises(OSError, match=r"Remote end closed|reset"):
                await asyncio.to_thread(get, served.http)

    on_target(work, {"app": shoots})
