"""A JupyterLab and a browser for the tests of this folder; without a browser they are skipped."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jupyterlab_driver import Lab, Notebook
    from playwright.sync_api import Browser

    OpenNotebook = Callable[..., Notebook]

ARTEFACTS = Path(__file__).parents[2] / "test-artefacts"
_FAILED = pytest.StashKey[bool]()


# Not for longer: while Playwright runs, no other test of the same thread can use asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    pytest.importorskip("playwright", reason="needs the package playwright")
    import jupyterlab_driver

    if jupyterlab_driver.chromium() is None:
        pytest.skip("needs Chromium or Chrome on the search path")
    with jupyterlab_driver.running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    from jupyterlab_driver import running_lab

    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def open_notebook(browser: Browser, lab: Lab, request: pytest.FixtureRequest) -> Iterator[OpenNotebook]:
    """Open a notebook by its path: ``open_notebook(path)``; each ends with the test.

    When the test fails, a picture of each page and JupyterLab's log are left in ``test-artefacts/``.
    """
    import jupyterlab_driver

    notebooks: list[Notebook] = []

    def open_one(path: Path, **context_options: object) -> Notebook:
        notebooks.append(jupyterlab_driver.open_notebook(browser, lab, path, **context_options))
        return notebooks[-1]

    yield open_one
    for number, notebook in enumerate(notebooks):
        if request.node.stash.get(_FAILED, False):
            ARTEFACTS.mkdir(exist_ok=True)
            name = re.sub(r"[^\w.-]+", "-", request.node.name)
            stem = ARTEFACTS / f"{name}-{number}"
            notebook.page.screenshot(path=stem.with_suffix(".png"))
            stem.with_suffix(".log").write_text(lab.log.read_text())
        notebook.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report
