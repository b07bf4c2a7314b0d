"""The lessons as a site: it builds offline without a warning, and every link inside it leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jupyter_book") is None,
    reason="Jupyter Book is not installed: pip install -r requirements-dev.txt",
)


class Page(HTMLParser):
    """A page's links, its names for them, and what a browser loads for it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.loaded: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.names.add(named.get("id") or "")
        if tag == "a" and named.get("href"):
            self.links.append(named["href"] or "")
        if tag == "link":
            self.loaded.append(named.get("href") or "")
        if tag in ("script", "img", "iframe"):
            self.loaded.append(named.get("src") or "")
        if tag == "img":
            self.pictures.append(named)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run([sys.executable, ROOT / ".ci" / "site", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_holds_every_lesson_with_its_outputs(site: Path) -> None:
    for lesson in LESSONS:
        html = (site / "notebooks" / f"{lesson.stem}.html").read_text("utf-8")
        stored = lesson.read_text("utf-8")
        assert html.count('class="wirelab-verdict"') == stored.count('class=\\"wirelab-verdict\\"') > 0
        assert html.count('class="wirelab-values"') == stored.count('class=\\"wirelab-values\\"') > 0


def test_every_link_inside_leads_somewhere(pages: dict[Path, Page]) -> None:
    inside = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].names, f"{path.name}: {link}"
            inside += 1
    assert inside > 100


def test_a_page_loads_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        elsewhere = [url for url in page.loaded if re.match(r"(https?:)?//", url)]
        assert not elsewhere, path.name


def test_every_picture_on_it_has_alternative_text(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert all("alt" in picture for picture in page.pictures), path.name
        if path.parent.name == "notebooks":
            assert all(len(one["alt"] or "") > 20 for one in page.pictures if "logo" not in str(one)), path.name
