"""The files by which a hosted JupyterLab is made: a devcontainer and Binder. Their images are not built here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BINDER = ROOT / "binder"
DEVCONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def test_both_install_what_readme_installs() -> None:
    assert "pip install -r requirements.txt" in DEVCONTAINER["postCreateCommand"]
    [line] = (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    # This path counts from the file that holds it, the `-e .` in the other one from where pip is called.
    assert (BINDER / line.removeprefix("-r ")).resolve() == ROOT / "requirements.txt"
    assert "jupyter-server-proxy==" in (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_both_have_a_python_that_the_kit_takes() -> None:
    said = [DEVCONTAINER["image"], (BINDER / "runtime.txt").read_text(encoding="utf-8")]
    for text in said:
        found = re.search(r"python[:-]3\.(\d+)$", text.strip())
        assert found
        assert 11 <= int(found[1]) <= 14


def test_no_server_of_a_notebook_is_forwarded_by_itself() -> None:
    # Live views go through jupyter-server-proxy: one port is enough, and nothing else is shown to the world.
    assert DEVCONTAINER["forwardPorts"] == [8888]
    assert DEVCONTAINER["otherPortsAttributes"] == {"onAutoForward": "ignore"}


@bash
@pytest.mark.parametrize("name", ["onCreateCommand", "postCreateCommand"])
def test_commands_are_understood_by_a_shell(name: str) -> None:
    subprocess.run(["bash", "-n", "-c", DEVCONTAINER[name]], check=True)
    for path in re.findall(r"\b(?:binder/\w+(?:\.txt)?|requirements\.txt)", DEVCONTAINER[name]):
        assert (ROOT / path).exists()


@bash
def test_post_build_trusts_every_notebook(tmp_path: Path) -> None:
    for folder in ("notebooks", "labs", "solutions"):
        (tmp_path / folder).mkdir()
        shutil.copy(next((ROOT / folder).glob("*.ipynb")), tmp_path / folder)
    assert os.access(BINDER / "postBuild", os.X_OK)
    done = subprocess.run(
        ["bash", BINDER / "postBuild"],
        cwd=tmp_path,
        env={**os.environ, "JUPYTER_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("Signing notebook") == 3
