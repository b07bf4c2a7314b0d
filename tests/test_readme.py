"""README is true to the letter, as far as a program can tell."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from wirelab.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "".join(re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
COMMANDS = BLOCKS.splitlines()
LINKS = re.findall(r"\]\(([^)]+)\)", README)

LEARN = "pip install -r requirements.txt && jupyter lab notebooks/00_start_here.ipynb"
TEST = "pip install -r requirements.txt && pytest"


@pytest.mark.parametrize("command", [LEARN, TEST])
def test_set_up_is_one_command(command: str) -> None:
    assert command in COMMANDS


def test_ci_runs_the_same_commands() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    steps = [lines.index(step) for step in TEST.split(" && ")]
    assert steps == sorted(steps)


@pytest.mark.parametrize("link", [link for link in LINKS if "://" not in link])
def test_link_leads_somewhere(link: str) -> None:
    file, _, anchor = link.partition("#")
    assert (ROOT / file).exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("folder", ["notebooks", "labs"])
def test_each_notebook_is_listed_with_its_minutes(folder: str) -> None:
    listed = dict(re.findall(rf"\({folder}/([^)]+)\) \|.*\| (\d+) \|$", README, re.MULTILINE))
    assert listed == {path.name: minutes(path) for path in (ROOT / folder).glob("*.ipynb")}


def test_picture_is_what_lesson_04_measured() -> None:
    picture = base64.b64encode((ROOT / "docs" / "polling_vs_push.png").read_bytes()).decode()
    lesson = (ROOT / "notebooks" / "04_polling_vs_push.ipynb").read_text(encoding="utf-8")
    assert picture in lesson, "run .ci/execute notebooks/04_polling_vs_push.ipynb"


def minutes(notebook: Path) -> str:
    return str(json.loads(notebook.read_text(encoding="utf-8"))["metadata"]["wirelab"]["minutes"])


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (wirelab[.\w]*)", README))))
def test_module_can_be_run(module: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{module}.__main__") is not None
    else:
        assert 'if __name__ == "__main__":' in Path(spec.origin or "").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("wirelab ")])
def test_command_line_is_understood(line: str) -> None:
    group = get_command(app)
    _, name, *arguments = shlex.split(line)
    group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_mended_programs_stand_beside_the_others() -> None:
    mended = re.findall(r"`(\w+_mended)`", README)
    assert mended
    assert all((ROOT / "wirelab" / "apps" / f"{name}.py").exists() for name in mended)
