"""The kit's needs are declared once, in pyproject.toml; the lock files are what was tested."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRA = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}

# The design of the kit names these.
PROMISED = {
    "jupyterlab",
    "nbclient",
    "fastapi",
    "uvicorn",
    "websockets",
    "requests",
    "matplotlib",
    "pytest",
    "nbval",
}

PLATFORMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"},
    "macos": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin"},
    "windows": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"},
}
MACHINES = {"linux": ["x86_64", "aarch64"], "macos": ["x86_64", "arm64"], "windows": ["AMD64"]}
PYTHONS = ["3.11.0", "3.11.9", "3.12.4", "3.13.1", "3.14.2"]
ENVIRONMENTS = {
    f"{platform}-{machine}-{python}": {
        **PLATFORMS[platform],
        "platform_machine": machine,
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for platform in PLATFORMS
    for machine in MACHINES[platform]
    for python in PYTHONS
}


class Pin(NamedTuple):
    """One line of a lock file, and what the comment below it says of who needs it."""

    requirement: Requirement
    via: frozenset[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return Version(specifier.version)

    def applies(self, environment: dict[str, str]) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate(environment)


def pins_of(lock: str) -> list[Pin]:
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text(encoding="utf-8"))
    return [pin(entry) for entry in entries if not entry.startswith(("#", "-"))]


def pin(entry: str) -> Pin:
    line, *comments = entry.splitlines()
    names = re.findall(r"[\w.-]+", " ".join(comments).replace("(pyproject.toml)", ""))
    return Pin(Requirement(line), frozenset(canonicalize_name(name) for name in names if name != "via"))


LOCKS = {
    "requirements.txt": [*BASE, *EXTRA["test"]],
    "requirements-dev.txt": [*BASE, *EXTRA["test"], *EXTRA["dev"]],
}
each_lock = pytest.mark.parametrize("lock", LOCKS)
each_environment = pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=list(ENVIRONMENTS))


def test_what_the_kit_promises_is_locked() -> None:
    assert {pin.name for pin in pins_of("requirements.txt")} >= PROMISED


@each_lock
@each_environment
def test_each_requirement_has_one_pin_in_its_range(lock: str, environment: dict[str, str]) -> None:
    pins = [pin for pin in pins_of(lock) if pin.applies(environment)]
    names = [pin.name for pin in pins]
    assert sorted(names) == sorted(set(names)), "a package is pinned twice"
    version_of = {pin.name: pin.version for pin in pins}
    for requirement in LOCKS[lock]:
        assert version_of[canonicalize_name(requirement.name)] in requirement.specifier


@each_lock
def test_each_pin_is_needed(lock: str) -> None:
    pins = pins_of(lock)
    declared = {canonicalize_name(requirement.name) for requirement in LOCKS[lock]}
    assert {pin.name for pin in pins if "wirelab" in pin.via} == declared
    names = {pin.name for pin in pins} | {"wirelab"}
    assert all(pin.via and pin.via <= names for pin in pins)


@each_lock
def test_what_is_installed_needs_nothing_that_is_not_pinned(lock: str) -> None:
    """Otherwise pip would fetch the newest version of it, which nobody has tried."""
    pins = {pin.name: pin for pin in pins_of(lock) if pin.applies({})}
    todo = [(pin.name, "") for pin in pins.values()]
    todo += [(canonicalize_name(r.name), extra) for p in pins.values() for r in needs(p) for extra in r.extras]
    for name, extra in todo:
        for requirement in needs(pins[name], extra):
            needed = canonicalize_name(requirement.name)
            assert needed in pins, f"{name} needs {needed}"
            assert pins[needed].version in requirement.specifier, f"{name} needs {requirement}"


def needs(pin: Pin, extra: str = "") -> Iterator[Requirement]:
    """Requirements of a package as installed, if that is the pinned version."""
    try:
        distribution = importlib.metadata.distribution(pin.name)
    except importlib.metadata.PackageNotFoundError:
        return
    if Version(distribution.version) == pin.version:
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                yield requirement


@each_environment
def test_both_locks_name_the_same_versions(environment: dict[str, str]) -> None:
    ours, developers = (
        {pin.name: pin.version for pin in pins_of(lock) if pin.applies(environment)} for lock in LOCKS
    )
    assert ours.items() <= developers.items()


# What the kit does without, and says so: it looks for these before it imports them.
OPTIONAL = [Requirement("playwright"), Requirement("distributed")]


@each_lock
def test_lock_names_no_index_and_no_place_of_one_machine(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    options = [line for line in text.splitlines() if line.startswith("-")]
    assert options == (["-e ."] if lock == "requirements.txt" else [])
    assert "://" not in text
    assert not re.search(r"(^|\s)(/|~|[A-Z]:\\)", text)


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ("wirelab/**/[!p]*.py", [*BASE, *OPTIONAL]),
        ("wirelab/**/p[!y]*.py", [*BASE, *OPTIONAL]),
        # Only pytest loads its plugin.
        ("wirelab/pytest_plugin.py", LOCKS["requirements.txt"]),
        # Tests that need a package for developers are skipped where it is missing; what answers to labs use of
        # other people's comes with packages that are declared.
        ("tests/**/*.py", [*LOCKS["requirements-dev.txt"], Requirement("aiohttp"), Requirement("argon2-cffi")]),
    ],
)
def test_what_the_code_imports_is_declared(files: str, allowed: list[Requirement]) -> None:
    declared = {canonicalize_name(requirement.name) for requirement in allowed} | {"wirelab"}
    distributions = importlib.metadata.packages_distributions()
    for path in ROOT.glob(files):
        own = {sibling.stem for folder in (path.parent, ROOT / "tests") for sibling in folder.iterdir()} | {
            "tests"
        }
        for module in imported(path) - sys.stdlib_module_names - own:
            names = {canonicalize_name(name) for name in distributions.get(module, [module])}
            assert names & declared, f"{path.name} imports {module}, which pyproject.toml does not declare"


def imported(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports by absolute name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names
