"""Drive JupyterLab as a person would: start it, open a notebook, run it, look at it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Locator, Page, sync_playwright

START_DEADLINE = 60.0
OPEN_DEADLINE = 60.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # Every cell stays in the page, so that each output can be found.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
DARK: dict[str, dict[str, Any]] = {"@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"}}


def chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome, if there is one."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start a headless browser.

    Raises:
        FileNotFoundError: no Chromium or Chrome is on the search path.
    """
    path = chromium()
    if path is None:
        raise FileNotFoundError(f"None of {', '.join(BROWSERS)} is on the search path.")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Lab:
    """A running JupyterLab.

    Attributes:
        url: its base URL, with a slash at the end.
        token: what lets a browser in.
        root: the folder that it shows.
        log: the file that it logs to.
    """

    url: str
    token: str
    root: Path
    log: Path


@contextmanager
def running_lab(folder: Path, settings: dict[str, dict[str, Any]] | None = None) -> Iterator[Lab]:
    """Start a JupyterLab of its own on a free port of 127.0.0.1, untouched by the user's settings.

    Args:
        folder: an empty folder; its ``root`` is what the JupyterLab shows.
        settings: JupyterLab settings by plugin, besides `SETTINGS`.
    """
    root, runtime, app_settings = (folder / name for name in ("root", "runtime", "settings"))
    for each in (root, runtime, app_settings):
        each.mkdir(parents=True)
    (app_settings / "overrides.json").write_text(json.dumps(SETTINGS | (settings or {})))
    log = folder / "jupyterlab.log"
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "user-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.root_dir": root,
        "LabApp.app_settings_dir": app_settings,
        "LabApp.expose_app_in_browser": True,
    }
    command += [f"--{name}={value}" for name, value in options.items()]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _when_ready(process, runtime, root, log)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _when_ready(process: subprocess.Popen[bytes], runtime: Path, root: Path, log: Path) -> Lab:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        for info in runtime.glob("jpserver-*.json"):
            try:
                server = json.loads(info.read_text())
                if requests.get(server["url"] + "api", timeout=5, proxies={"http": ""}).ok:
                    return Lab(server["url"], server["token"], root, log)
            except (ValueError, requests.ConnectionError):
                break
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


class Notebook:
    """A notebook that is open in JupyterLab, with its kernel idle."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def code_cells(self) -> Locator:
        """The code cells, top to bottom."""
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    def output(self, index: int) -> Locator:
        """The output area of the code cell number `index`, counted from 0."""
        return self.code_cells.nth(index).locator(".jp-OutputArea-output")

    @property
    def outputs(self) -> list[str]:
        """The text that each code cell shows below it."""
        return ["\n".join(self.output(n).all_inner_texts()) for n in range(self.code_cells.count())]

    def run_all(self, seconds: float = 120.0) -> None:
        """Run all cells and wait for the last to end.

        Raises:
            AssertionError: a cell failed that may not.
            playwright.sync_api.TimeoutError: the last cell has not ended after `seconds`.
        """
        self._execute("notebook:run-all-cells", seconds)

    def run_cell(self, index: int, seconds: float = 60.0) -> None:
        """Run the code cell number `index`, counted from 0, and wait for it to end.

        Raises:
            AssertionError: the cell failed.
            playwright.sync_api.TimeoutError: it has not ended after `seconds`.
        """
        self.code_cells.nth(index).locator(".jp-InputPrompt").click()
        self._execute("notebook:run-cell", seconds)

    def close(self) -> None:
        """End the kernel and close the page."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget?.sessionContext?.shutdown()")
        self.page.context.close()

    def _execute(self, command: str, seconds: float) -> None:
        self.page.evaluate(
            """(command) => {
                window.ended = null;
                jupyterapp.commands.execute(command).then(
                    (well) => (window.ended = { well: well !== false }),
                    (error) => (window.ended = { well: false, error: `${error}` }));
            }""",
            command,
        )
        self.page.wait_for_function("() => window.ended", timeout=1000 * seconds)
        outcome = self.page.evaluate("() => window.ended")
        assert outcome["well"], "\n".join([f"{command} failed", outcome.get("error", ""), *self._errors()])

    def _errors(self) -> list[str]:
        """What the cells raised, as the notebook's model has it: the page may show it later."""
        errors: list[str] = self.page.evaluate(
            """() => [...jupyterapp.shell.currentWidget.content.model.cells]
                .flatMap((cell) => cell.toJSON().outputs ?? [])
                .filter((output) => output.output_type === "error")
                .map((output) => `${output.ename}: ${output.evalue}`)"""
        )
        return errors


def open_notebook(browser: Browser, lab: Lab, path: Path, **context_options: Any) -> Notebook:
    """Copy the notebook at `path` into the JupyterLab's folder and open it in a fresh browser profile.

    A folder ``images`` beside it comes along. `context_options` go to Playwright's `Browser.new_context`.
    """
    shutil.copy(path, lab.root / path.name)
    if (path.parent / "images").is_dir():
        shutil.copytree(path.parent / "images", lab.root / "images", dirs_exist_ok=True)
    options = {"viewport": {"width": 1280, "height": 2400}} | context_options
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(15_000)
    page.goto(f"{lab.url}lab/tree/{path.name}?reset&token={lab.token}")
    page.wait_for_function(
        "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=1000 * OPEN_DEADLINE,
    )
    return Notebook(page)
