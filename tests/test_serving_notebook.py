"""Servers behind real notebooks: cells run again, are interrupted, and fail; kernels are restarted and killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest
import requests
from kernel_support import Kernel, kernel
from serving_support import DEADLINE, is_free, wait_until

SET_UP = """
import asyncio, requests, sys, threading, time
from wirelab import serve, stop_all, serving, ServeError
from serving_support import echo, Gate, rest
from websockets.sync.client import connect
app = rest(Gate())
def names(): return sorted(f"{s.name}{'' if s.running else ' stopped'}" for s in serving._servers)
"""


@pytest.fixture(scope="module")
def notebook() -> Iterator[Kernel]:
    with kernel() as running:
        running.run(SET_UP)
        yield running


@pytest.fixture(autouse=True)
def stopped(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "notebook" in request.fixturenames:
        request.getfixturevalue("notebook").run("stop_all()")


@pytest.fixture(params=[True, False], ids=["as JupyterLab does", "as nbval does"])
def cells(request: pytest.FixtureRequest, notebook: Kernel) -> Iterator[Kernel]:
    notebook.store_history = request.param
    yield notebook
    notebook.store_history = True


# Cells run again


def test_running_a_cell_again_replaces_its_server(cells: Kernel) -> None:
    cell = "server = serve(app); print(server.port)"
    first, second = (int(cells.run(cell).stdout) for _ in range(2))
    assert is_free(first)
    assert requests.get(f"http://127.0.0.1:{second}", timeout=DEADLINE).text == "hello"
    assert cells.run("print(names())").stdout == "['app']\n"


def test_running_a_cell_again_replaces_its_server_on_the_same_fixed_port(cells: Kernel) -> None:
    port = int(cells.run("server = serve(app); print(server.port); server.stop()").stdout)
    cell = f"server = serve(rest(Gate()), port={port}); listener = serve(echo)"
    for _ in range(10):
        assert cells.run(cell).stderr == ""
        assert requests.get(f"http://127.0.0.1:{port}", timeout=DEADLINE).text == "hello"
    assert cells.run("print(names())").stdout == "['echo', 'rest(Gate())']\n"


def test_running_a_cell_again_replaces_a_server_process(notebook: Kernel) -> None:
    cell = "server = serve('serving_support:hello', process=True); print(server.pid)"
    first, second = (int(notebook.run(cell).stdout) for _ in range(2))
    assert not psutil.pid_exists(first)
    assert psutil.pid_exists(second)
    assert notebook.run("print(names())").stdout == "['serving_support:hello']\n"


def test_two_servers_of_one_cell_stay_and_are_replaced_together(cells: Kernel) -> None:
    cell = "one = serve(app); two = serve(app); many = [serve(app) for _ in range(3)]; print(names())"
    for _ in range(3):
        assert cells.run(cell).stdout == "['app', 'app', 'app', 'app', 'app']\n"


def test_servers_that_cells_spell_differently_stay(cells: Kernel) -> None:
    cells.run("def make(delay): return rest(Gate())")
    cells.run("slow = serve(make(1))")
    cells.run("fast = serve(make(0))")
    cells.run("fast = serve(make(0), name='by hand')")
    assert cells.run("print(names())").stdout == "['by hand', 'make(0)', 'make(1)']\n"


def test_another_cell_that_serves_the_same_application_replaces_too(cells: Kernel) -> None:
    cells.run("first = serve(app)")
    cells.run("1 / 0", fails=True)
    assert cells.run("second = serve(app); print(first.running, second.running)").stdout == "False True\n"


def test_a_failing_cell_run_again_says_the_same(notebook: Kernel) -> None:
    for _ in range(3):
        cell = notebook.run("server = serve(app, host='0.0.0.0')", fails=True)
        assert cell.error == "ServeError: Leave out host=: servers of this kit listen on 127.0.0.1 only."


def test_stop_all_ends_a_notebook(notebook: Kernel) -> None:
    # The kernel's own threads come and go; the servers' have a name.
    servers_threads = "print([t.name for t in threading.enumerate() if 'wirelab' in t.name], serving._servers)"
    notebook.run("serve(app), serve(echo), serve('serving_support:hello', process=True)")
    notebook.run("stop_all()")
    assert notebook.run(servers_threads).stdout == "[] []\n"
    assert psutil.Process(notebook.pid).children() == []


# What is seen beneath cells


def test_a_handlers_exception_is_told_beneath_the_very_cell_that_caused_it(notebook: Kernel) -> None:
    notebook.run("here = serve(app); socket = serve(rest(Gate()), name='socket')")
    notebook.run("there = serve('serving_support:hello', process=True)")
    where = 'ValueError: boom (in boom: raise ValueError("boom"))'
    for _ in range(30):
        cell = notebook.run("assert requests.get(here.http + '/boom').status_code == 500")
        assert cell.stdout == f"Server app: a handler raised {where}. See it all with: raise server.errors[-1]\n"
        assert cell.stderr == ""
        # Also beneath a cell that fails, and from a process of its own.
        cell = notebook.run("requests.get(there.http + '/boom')\n1 / 0", fails=True)
        assert cell.error == "ZeroDivisionError: division by zero"
        assert cell.stdout.startswith(f"Server serving_support:hello: a handler raised RuntimeError: {where}. See")
        assert cell.stdout.count("\n") == 1
        assert notebook.run("requests.get(here.http)").stdout == ""


DIVIDE = """
async def divide(connection):
    async for message in connection:
        await connection.send(str(1 / int(message)))
server = serve(divide)
"""
ASK = """
with connect(server.ws, proxy=None) as websocket:
    websocket.send("0")
    try:
        websocket.recv()
    except Exception as error:
        print(type(error).__name__)
"""


def test_a_websocket_handlers_exception_is_told_beneath_its_cell(notebook: Kernel) -> None:
    notebook.run(DIVIDE)
    for _ in range(30):
        cell = notebook.run(ASK)
        assert cell.stdout == (
            "ConnectionClosedError\nServer divide: a handler raised ZeroDivisionError: division by zero "
            "(in divide: await connection.send(str(1 / int(message)))). See it all with: raise server.errors[-1]\n"
        )
        assert cell.stderr == ""
    cell = notebook.run("raise server.errors[-1]", fails=True)
    assert cell.error == "ZeroDivisionError: division by zero"


def test_a_server_that_ends_with_its_cell_still_tells(notebook: Kernel) -> None:
    for _ in range(10):
        cell = notebook.run("with serve(app) as server: requests.get(server.http + '/boom')")
        assert cell.stdout.startswith("Server app: a handler raised ValueError: boom")
        assert cell.stdout.count("\n") == 1


def test_many_errors_are_told_in_a_few_lines(notebook: Kernel) -> None:
    notebook.run("server = serve(app)")
    lines = notebook.run("for _ in range(10): requests.get(server.http + '/boom')").stdout.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "Server app: and 7 more errors, in server.errors"


def test_servers_print_nothing_beneath_any_cell(notebook: Kernel) -> None:
    notebook.run("import logging; logging.basicConfig(level=logging.INFO)")
    notebook.run("import uvicorn; uvicorn.Config(app)")
    try:
        cells = [
            notebook.run(
                "here = serve(app); there = serve('serving_support:hello', process=True); ws = serve(echo)"
            ),
            notebook.run("a, b = (requests.get(s.http) for s in (here, there))"),
            notebook.run("with connect(ws.ws, proxy=None), connect(here.ws + '/echo', proxy=None): pass"),
            notebook.run(
                "c = requests.get(here.http + '/lost'); time.sleep(0.1); here._reported = len(here.errors)"
            ),
            notebook.run("time.sleep(0.3)"),
            notebook.run("stop_all()"),
            notebook.run("time.sleep(0.3)"),
        ]
    finally:
        notebook.run("logging.getLogger().handlers.clear()")
    assert [(cell.stdout, cell.stderr) for cell in cells] == [("", "")] * len(cells)


def test_log_lines_come_when_asked_for(notebook: Kernel) -> None:
    notebook.run("server = serve(app, log=True)")
    assert notebook.run("r = requests.get(server.http)").stdout == "GET / 200\n"


def test_a_handler_that_blocks_is_named_by_its_cell(notebook: Kernel) -> None:
    notebook.run("from wirelab import _background; _background.STOP_DEADLINE = 0.2")
    notebook.run("async def sleepy(connection):\n    entered.set()\n    time.sleep(1.5)")
    notebook.run("entered = threading.Event(); server = serve(sleepy)")
    notebook.run(
        "threading.Thread(target=lambda: connect(server.ws, proxy=None).__enter__()).start(); entered.wait()"
    )
    cell = notebook.run("server.stop()")
    notebook.run("_background.STOP_DEADLINE = 2.0; server._runner._thread.join()")
    assert "blocks its event loop at Cell In[" in cell.stderr
    assert "line 3: time.sleep(1.5). Server sleepy stops only when that returns" in cell.stderr


# Interrupts


def test_an_interrupted_request_leaves_the_servers_working(notebook: Kernel) -> None:
    notebook.run("here = serve(app); there = serve('serving_support:hello', process=True)")
    for server in ("here", "there"):
        cell = notebook.start(f"print('asking', flush=True); requests.get({server}.http + '/poll')")
        notebook.wait_for_output(cell, "asking")
        time.sleep(0.1)
        assert notebook.interrupt(cell).error.startswith("KeyboardInterrupt")
    cell = notebook.run("print(requests.get(here.http).text, requests.get(there.http).text, names())")
    assert cell.stdout == "hello hello ['app', 'serving_support:hello']\n"
    assert cell.stderr == ""


HANGING_START = """
import contextlib
from starlette.applications import Starlette
@contextlib.asynccontextmanager
async def hang(app):
    print("starting", flush=True)
    await asyncio.Event().wait()
    yield
print(names())
serve(Starlette(lifespan=hang))
"""


def test_an_interrupted_start_leaves_nothing_and_the_others_working(notebook: Kernel) -> None:
    notebook.run("there = serve('serving_support:hello', process=True); here = serve(app)")
    cell = notebook.start(HANGING_START)
    notebook.wait_for_output(cell, "starting")
    assert notebook.interrupt(cell).error.startswith("KeyboardInterrupt")
    assert notebook.run("print(names())").stdout == "['app', 'serving_support:hello']\n"
    assert notebook.run("print(requests.get(there.http).text)").stdout == "hello\n"


def test_interrupts_at_any_moment_leave_no_server_that_is_not_on_the_list(notebook: Kernel) -> None:
    # Starts and stops servers as fast as it can, and is interrupted again and again in the midst of it.
    loop = "print('going', flush=True)\nwhile True:\n    with serve(app), serve(echo): pass"
    for moment in range(15):
        started = notebook.start(loop)
        notebook.wait_for_output(started, "going")
        time.sleep(0.001 * moment)
        cell = notebook.interrupt(started)
        # IPython fails to format the traceback of some interrupts, and then writes a plain one.
        assert "KeyboardInterrupt" in cell.error + cell.stderr
    assert notebook.run("stop_all(); print(names())").stdout == "[]\n"
    notebook.run(
        "end = time.monotonic() + 5\n"
        "while (left := [t for t in threading.enumerate() if 'wirelab' in t.name]) and time.monotonic() < end:\n"
        "    time.sleep(0.01)\n"
        "assert not left, left"
    )


def test_interrupts_while_a_process_starts_leave_no_process(notebook: Kernel) -> None:
    for moment in (0, 0.01, 0.05, 0.1, 0.2, 0.3):
        cell = notebook.start("print('going', flush=True); serve('serving_support:hello', process=True)")
        notebook.wait_for_output(cell, "going")
        time.sleep(moment)
        notebook.interrupt(cell)
        notebook.run("stop_all()")
        # One that was interrupted while it forked ends by itself, and waits to be collected by the next.
        wait_until(lambda: all(gone(child.pid) for child in psutil.Process(notebook.pid).children()), "all ended")
        assert notebook.run("print(names())").stdout == "[]\n"


# The end of the kernel

LEAVE_RUNNING = """
here = serve(app); there = serve('serving_support:hello', process=True)
held = [requests.get(there.http + path, stream=True) for path in ('/silence', '/events')]
print(here.port, there.port, there.pid)
"""


@pytest.mark.parametrize("end", ["kill", "restart", "shutdown"])
def test_no_process_outlives_its_kernel(end: str) -> None:
    with kernel() as running:
        running.run(SET_UP)
        *ports, pid = map(int, running.run(LEAVE_RUNNING).stdout.split())
        kernel_pid = running.pid
        if end == "kill":
            # The kernel alone, as when memory runs out: nobody is left to tell its children.
            os.kill(kernel_pid, signal.SIGKILL)
        elif end == "restart":
            running.manager.restart_kernel(now=False)
        else:
            running.manager.shutdown_kernel(now=False)
        wait_until(lambda: gone(pid), "the server's process is gone")
        wait_until(lambda: all(map(is_free, ports)), "the ports are free")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
