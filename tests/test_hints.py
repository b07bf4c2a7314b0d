"""Every hint speaks of its lab: of functions, names and arguments that are there when a learner follows it."""

from __future__ import annotations

import ast
import builtins
import importlib
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from websockets.asyncio.client import ClientConnection

from wirelab.checks import LABS

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"`([^`]+)`")
WORD = re.compile(r"[A-Za-z_]\w*")
CALLED = re.compile(r"([A-Za-z_]\w*)\(")
# "In `join`: …" and "`join`: …" say where something goes: into a function that is the learner's.
PLACE = re.compile(r"\bIn `(\w+)`[:,]|`([a-z]\w*)`: `")
# What a piece of code may lack: its body, its beginning, its end.
FRAMES = ("{}", "{} pass", "{}: pass", "{}\nfinally: pass", "try: pass\n{}", "try: pass\n{} pass")
FRAMES += ("match 0:\n {} pass", "{{{}}}")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What the objects have that labs are given by Python and their libraries.
KINDS = (str, bytes, dict, set, list, tuple, ClientConnection)
METHODS = {name for kind in KINDS for name in dir(kind)}
ALLOWED = {
    # Any number, and any value: `round(number, 2)`, `isinstance(value, str)`.
    "02_price_stream": {"number", "value"},
    # What every route has, and no other cell of the lab asks for: `route.methods`.
    "05_rest_in_practice": {"methods"},
    # Whatever stands there: `asyncio.to_thread(function, argument, …)`, `asyncio.timeout(seconds)`.
    "07_secure_feed": {"function", "argument", "seconds"},
    # What a browser has, for the page.
    "08_live_board": {"async", "createElement", "fetch", "setTimeout", "WebSocket", "Math"},
}


def parsed(code: str) -> ast.AST | None:
    """The syntax of a piece of code as hints have it, None where it is no Python."""
    if code.endswith(";"):
        return None
    for frame in FRAMES:
        try:
            return ast.parse(frame.format(code.replace("…", "...")))
        except SyntaxError:
            continue
    return None


def made_by(tree: ast.AST) -> Iterator[str]:
    """The names that it gives to something, wherever."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name


def without_bodies(tree: ast.AST) -> ast.AST:
    """The same module, with functions and classes that are empty: what is left are its own names."""

    class Emptied(ast.NodeTransformer):
        def emptied(self, node):
            return ast.ClassDef(name=node.name, bases=[], keywords=[], body=[], decorator_list=[])

        visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = emptied

    return Emptied().visit(tree)


@dataclass
class Notebook:
    """What a lab has, as it is given to learners."""

    cells: list[SimpleNamespace]
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, name: str) -> Notebook:
        lab = cls(nbformat.read(ROOT / "labs" / f"{name}.ipynb", as_version=4).cells)
        for cell in lab.cells:
            if cell.cell_type == "code":
                lab.look_at(ast.parse(cell.source))
                lab.names |= {*made_by(without_bodies(ast.parse(cell.source)))}
        return lab

    def look_at(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.functions[node.name] = node
                case ast.Attribute(attr=name) | ast.keyword(arg=str(name)) | ast.arg(arg=name):
                    self.attributes.add(name)
                case ast.Constant(value=str(text)):
                    self.texts |= {*WORD.findall(text)} if "\n" in text else {text}
                case ast.ImportFrom(module=str(module)):
                    self.texts.add(module.partition(".")[0])
                    for alias in node.names:
                        self.attributes |= {*dir(getattr(importlib.import_module(module), alias.name, None))}
                case ast.Import():
                    for alias in node.names:
                        self.attributes |= {*dir(importlib.import_module(alias.name))}

    def of_exercise(self, exercise: str) -> list[SimpleNamespace]:
        return [cell for cell in self.cells if cell.id.startswith(f"{exercise}-") or cell.id == exercise]

    def answers(self, exercise: str) -> list[ast.Module]:
        """The cells that the learner fills."""
        cells = self.of_exercise(exercise)
        return [ast.parse(cell.source) for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]

    def told(self, cells: list[SimpleNamespace]) -> set[str]:
        """The names in what the text of these cells shows as code."""
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        return {word for text in texts for code in CODE.findall(text) for word in WORD.findall(code)}

    @cached_property
    def all_words(self) -> set[str]:
        """Whatever a learner may have seen in it, and the methods of what it is about."""
        return self.names | self.attributes | self.texts | self.functions.keys() | self.told(self.cells) | METHODS


@cache
def notebook(name: str) -> Notebook:
    return Notebook.of(name)


def faults(name: str, exercise: str, hint: str, hints: tuple[str, ...] = ()) -> list[str]:
    """What in a hint the lab does not have; `hints`: all of its exercise, whose names it may use."""
    lab = notebook(name)
    filled = lab.answers(exercise)
    own = {node.name for cell in filled for node in ast.walk(cell) if isinstance(node, FUNCTIONS)}
    arguments = {node.arg for cell in filled for node in ast.walk(cell) if isinstance(node, ast.arg)}
    trees = [tree for text in (hint, *hints) for code in CODE.findall(text) if (tree := parsed(code))]
    made = {name for tree in trees for name in made_by(tree)}
    general = {*dir(builtins), *keyword.kwlist, *keyword.softkwlist, *ALLOWED.get(name, ())}
    given = {name for cell in filled for name in made_by(cell)}
    known = lab.names | given | made | general | lab.told(lab.of_exercise(exercise))
    found = [
        f"`{place}` is not the learner's"
        for pair in PLACE.findall(hint)
        if (place := "".join(pair)) not in {*own, *keyword.kwlist}
    ]
    for code in CODE.findall(hint):
        tree = parsed(code)
        if WORD.fullmatch(word := code.removesuffix("()")):
            missing = {word} - known - lab.all_words
        elif tree is None:
            missing = {*CALLED.findall(code)} - known - lab.all_words
        else:
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            missing = (names - known) | (attributes - known - lab.all_words)
            found += misused(lab, tree, arguments - made)
        found += [f"`{code}`: the lab has no {one}" for one in sorted(missing)]
    return found


def misused(lab: Notebook, tree: ast.AST, arguments: set[str]) -> Iterator[str]:
    """Given functions that are awaited and are not to be, or that get another thing for the learner's argument."""
    for node in ast.walk(tree):
        match node:
            case ast.Await(value=ast.Call(func=ast.Name(id=name))) if name in lab.functions:
                if not isinstance(lab.functions[name], ast.AsyncFunctionDef):
                    yield f"{name} is nothing to await"
            case ast.Call(func=ast.Name(id=name), args=passed) if name in lab.functions:
                for argument, value in zip(lab.functions[name].args.args, passed, strict=False):
                    other = value.id if isinstance(value, ast.Name) else argument.arg
                    if argument.arg in arguments and other in lab.names - {argument.arg}:
                        yield f"{name} gets {other} for {argument.arg}"


EXERCISES = [(name, exercise) for name in LABS for exercise in LABS[name].exercises]


@pytest.mark.parametrize(("name", "exercise"), EXERCISES, ids=[".".join(pair) for pair in EXERCISES])
def test_a_hint_names_what_the_lab_has(name, exercise):
    hints = LABS[name].exercises[exercise].hints
    assert [fault for hint in hints for fault in faults(name, exercise, hint, hints)] == []


@pytest.mark.parametrize(
    ("name", "exercise", "hint", "fault"),
    [
        ("08_live_board", "publish", "In `commit`: `await write(todo_id, todo)`.", "the lab has no write"),
        ("08_live_board", "publish", "`async with lock:`, in it `board.seq += 1`.", "the lab has no lock"),
        ("08_live_board", "mirror", "Then `load(board, snapshot)`.", "load gets board for mirrored"),
        ("08_live_board", "mirror", "Put `apply(board, message)`.", "apply gets board for mirrored"),
        ("08_live_board", "recover", "`await follow(base_url, board)`", "follow gets board for mirrored"),
        (
            "08_live_board",
            "recover",
            "In `must_start_over`, ask which fits.",
            "`must_start_over` is not the learner's",
        ),
        (
            "06_reliable_feed",
            "slow",
            "In `post`: `in_background(websocket.close(TOO_SLOW))`.",
            "the lab has no in_background",
        ),
        (
            "06_reliable_feed",
            "reconnect",
            "`pause`: `random.uniform(0, MAX_DELAY)`.",
            "`pause` is not the learner's",
        ),
        ("06_reliable_feed", "reconnect", "`KEEPALIVE`: all HEARTBEAT.", "the lab has no KEEPALIVE"),
        ("06_reliable_feed", "resume", "`seen.get(asked, seq)`", "the lab has no asked"),
        (
            "07_secure_feed",
            "expiry",
            "`async with asyncio.timeout(1): return await listen(websocket)`",
            "listen is nothing to await",
        ),
    ],
)
def test_it_finds_what_the_lab_does_not_have(name, exercise, hint, fault):
    assert any(fault in found for found in faults(name, exercise, hint))
