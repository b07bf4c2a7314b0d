"""Make the picture of the race that a notebook keeps for those who only read.

``python tests/browser/race_picture.py`` writes notebooks/images/race.png, or the file named after it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from jupyterlab_driver import open_notebook, running_browser, running_lab
from race_notebook import write_notebook

PICTURE = Path(__file__).parents[2] / "notebooks" / "images" / "race.png"

RACE = """\
import itertools, random
import requests
from wirelab import serve
from wirelab.apps.feed import create_app
from wirelab.live import allow_loopback_pages, race

# 0.3 s and more between two updates, 1.1 s on average.
gaps = (0.3 + random.expovariate(1.25) for _ in range(200))
feed = serve(allow_loopback_pages(create_app()))
requests.put(feed.http + "/schedule", json={"offsets": list(itertools.accumulate(gaps))}, timeout=5)
race(feed, every=1.5)
"""
# Each of polling's traits is in view: updates missed, requests wasted, and an old value just now.
TELLING = """() => {
    const number = (field) => Number(document.querySelector(`[data-lane=poll] [data-field=${field}]`).textContent);
    const state = document.querySelector("[data-lane=poll] [data-field=state]").textContent;
    return number("requests") > 6 && number("missed") > 1 && number("wasted") > 1 && /for 0.[4-9]/.test(state);
}"""


def make_picture(target: Path) -> None:
    """Run the race in a JupyterLab and save what it looks like as a PNG."""
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        notebook_file = write_notebook(Path(folder) / "race.ipynb", RACE)
        with running_lab(Path(folder) / "lab") as lab:
            notebook = open_notebook(browser, lab, notebook_file, device_scale_factor=2)
            notebook.run_all()
            notebook.page.mouse.move(0, 0)
            notebook.page.wait_for_function(TELLING, timeout=60_000)
            target.parent.mkdir(parents=True, exist_ok=True)
            notebook.page.locator(".wirelab-race").screenshot(path=target)
            notebook.close()


if __name__ == "__main__":
    make_picture(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
