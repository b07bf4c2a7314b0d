"""Make the picture of the shared board that a notebook keeps for those who only read.

``python tests/browser/board_picture.py`` writes notebooks/images/board.png, or the file named after it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import requests
from jupyterlab_driver import open_notebook, running_browser, running_lab
from page_notebook import PAGE, SERVE, write_notebook
from websockets.sync.client import connect

PICTURE = Path(__file__).parents[2] / "notebooks" / "images" / "board.png"


def make_picture(target: Path) -> None:
    """Show the board in a JupyterLab, change it from outside, and save what it looks like as a PNG."""
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        notebook_file = write_notebook(Path(folder) / "page.ipynb", SERVE, PAGE)
        with running_lab(Path(folder) / "lab") as lab:
            notebook = open_notebook(browser, lab, notebook_file, device_scale_factor=2)
            notebook.run_all()
            base = notebook.outputs[0].strip()
            frame = notebook.page.frame_locator(".wirelab-page iframe")
            frame.get_by_label("Your name").fill("Ada")
            frame.get_by_role("button", name="Change", exact=True).click()
            with connect(base.replace("http", "ws", 1) + "/updates", proxy=None) as socket:
                socket.send(json.dumps({"name": "Your notebook"}))
                todo = requests.post(
                    f"{base}/todos", json={"task": "Say hello from the notebook"}, timeout=10
                ).json()
                for status in ("In progress", "Done"):
                    requests.patch(f"{base}/todos/{todo['id']}", json={"status": status}, timeout=10)
                frame.locator("#log", has_text="Done: Say hello").wait_for()
                frame.locator("#people", has_text="Your notebook").wait_for()
                frame.locator("#people", has_text="Ada").wait_for()
                notebook.page.mouse.move(0, 0)
                target.parent.mkdir(parents=True, exist_ok=True)
                notebook.page.locator(".wirelab-page iframe").screenshot(path=target)
            notebook.close()


if __name__ == "__main__":
    make_picture(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
