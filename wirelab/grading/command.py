"""The command ``wirelab grade``."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import Crew, CrewError, Limits, Report, UsageError, formats, grade
from .sandbox import Isolation

USAGE, INTERRUPTED = 2, 130


class Format(StrEnum):
    """What reports are written as."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    CSV = "csv"
    MARKDOWN = "markdown"
    GRADESCOPE = "gradescope"
    CLASSROOM50 = "classroom50"


def grade_command(
    submissions: Annotated[
        list[Path],
        typer.Argument(
            metavar="SUBMISSION…", help="Notebooks, Python files, or folders: all submissions below them."
        ),
    ],
    lab: Annotated[
        str | None,
        typer.Option(metavar="NN_LAB", help="The lab, where metadata or file name do not say it or are wrong."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How reports are written.")] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write there instead of to standard output.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Submissions at a time; by default one a core.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="At most this long for one submission.")] = Limits.wall,
) -> None:
    """Grade submissions. Exit status 0: every check passed; 1: some did not; 2: the call itself was wrong."""
    if output and not output.absolute().parent.is_dir():
        _refuse(f"there is no folder {output.absolute().parent}")
    reports: list[Report] = []
    interrupted = False
    # Lines of JSON are written as they come; every other form needs all reports.
    streams = form is Format.JSON and output is None
    try:
        with Crew(Limits(wall=seconds)) as crew, _progress() as (started, graded):
            for report in grade(submissions, lab, crew=crew, jobs=jobs, started=started, graded=graded):
                reports.append(report)
                if streams:
                    _write(formats.render(form, [report]))
            _say_how_isolated(crew)
    except (UsageError, CrewError) as exc:
        _refuse(str(exc))
    except KeyboardInterrupt:
        interrupted = True
        typer.echo(f"Interrupted: {len(reports)} submissions graded.", err=True)
    if not streams and reports:
        _deliver(form, reports, output)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if all(report.passed for report in reports) else 1)


def _refuse(text: str) -> None:
    typer.echo(f"wirelab grade: {text}.", err=True)
    raise typer.Exit(USAGE)


def _deliver(form: Format, reports: list[Report], output: Path | None) -> None:
    if form is Format.TABLE:
        _table(reports, output)
    elif output is None:
        _write(formats.render(form, reports))
    else:
        _replace(output, formats.render(form, reports))


def _table(reports: list[Report], output: Path | None) -> None:
    from rich.console import Console

    if output is None:
        Console().print(formats.as_table(reports))
        return
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(formats.as_table(reports))
    _replace(output, console.export_text())


def _write(text: str) -> None:
    # The same bytes everywhere: a Windows console has neither UTF-8 nor these line ends by itself.
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()


def _replace(output: Path, text: str) -> None:
    """Write a file whole or not at all."""
    try:
        with tempfile.NamedTemporaryFile("wb", dir=output.absolute().parent, delete=False) as file:
            file.write(text.encode("utf-8"))
        os.replace(file.name, output)
    except OSError as exc:
        _refuse(f"cannot write {output}: {exc.strerror}")


@contextlib.contextmanager
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """A bar, for a person at a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None, lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("Grading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("grading", total=None)
        yield lambda total: bar.update(task, total=total), lambda: bar.advance(task)


def _say_how_isolated(crew: Crew) -> None:
    if crew.isolation and Isolation[crew.isolation] is not Isolation.NAMESPACES:
        text = f"Submissions ran with {Isolation[crew.isolation].value}, because this system gives {crew.reason}."
        typer.echo(f"{text} Grade people you do not trust where Linux allows user namespaces.", err=True)
