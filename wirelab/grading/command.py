"""The command ``wirelab grade``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import Crew, CrewError, Ledger, Limits, Report, UsageError, formats, grade
from .ledger import write_whole
from .sandbox import Isolation

USAGE, INTERRUPTED = 2, 130
# Seconds until a Dask scheduler that does not answer is given up.
DASK_DEADLINE = 10


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
        typer.Option(
            metavar="NN_LAB", help="The lab of all of them, where names or metadata do not say it or are wrong."
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How reports are written.")] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write there instead of to standard output.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Submissions at a time; by default as many as the processor has time for."),
    ] = None,
    pages: Annotated[
        Path | None,
        typer.Option(
            "--reports",
            metavar="FOLDER",
            help="Also write there: a report for each learner, a gradebook, a summary. "
            "Called again, it grades only what has changed.",
        ),
    ] = None,
    elsewhere: Annotated[
        str | None,
        typer.Option(
            "--executor",
            metavar="dask:ADDRESS",
            help="Grade on the workers of a Dask scheduler, such as dask:tcp://10.0.0.1:8786.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="At most this long for one submission.")] = Limits.wall,
    strict: Annotated[
        bool,
        typer.Option("--require-isolation", help="Grade only where Linux namespaces hold each submission."),
    ] = False,
) -> None:
    """Grade submissions. Exit status 0: every check passed; 1: some did not; 2: the call itself was wrong."""
    if output and not output.absolute().parent.is_dir():
        _refuse(f"there is no folder {output.absolute().parent}")
    if strict and elsewhere:
        _refuse("--require-isolation cannot look at the workers of --executor: leave out one of them")
    reports: list[Report] = []
    interrupted = False
    # Lines of JSON are written as they come; every other form needs all reports.
    streams = form is Format.JSON and output is None
    limits = Limits(wall=seconds)
    options: dict[str, Any] = {"jobs": jobs, "ledger": _ledger(pages, limits) if pages else None}
    try:
        with _executor(elsewhere) as executor, Crew(limits) as crew, _progress() as (started, graded):
            if strict:
                _require_isolation(crew)
            options |= {"executor": executor, "crew": crew, "started": started, "graded": graded}
            for report in grade(submissions, lab, **options):
                reports.append(report)
                if streams:
                    _write(formats.render(form, [report]))
            _say_how_isolated(crew, elsewhere)
    except (UsageError, CrewError) as exc:
        _refuse(str(exc))
    except KeyboardInterrupt:
        interrupted = True
        again = " The same call goes on where this one was." if pages else ""
        typer.echo(f"Interrupted: {len(reports)} submissions graded.{again}", err=True)
    if pages and not interrupted:
        _write_class(pages, reports, submissions)
    if not streams and reports:
        _deliver(form, reports, output)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if all(report.passed for report in reports) else 1)


def _refuse(text: str) -> NoReturn:
    typer.echo(f"wirelab grade: {text}.", err=True)
    raise typer.Exit(USAGE)


def _ledger(folder: Path, limits: Limits) -> Ledger:
    try:
        return Ledger(folder / ".graded", limits)
    except OSError as exc:
        _refuse(f"cannot write to {folder}: {exc.strerror}")


def _write_class(folder: Path, reports: list[Report], given: list[Path]) -> None:
    # Not at the top: it draws, and a call without --reports shall not wait for matplotlib.
    from .pages import PAGE, write_class

    try:
        learners = write_class(folder, reports, given)
    except OSError as exc:
        _refuse(f"cannot write to {folder}: {exc.strerror}")
    typer.echo(f"{folder / PAGE}: {len(reports)} submissions of {learners} learners.", err=True)


@contextlib.contextmanager
def _executor(elsewhere: str | None) -> Iterator[Executor | None]:
    """What grades instead of threads of this process, if anything does."""
    if elsewhere is None:
        yield None
        return
    kind, _, address = elsewhere.partition(":")
    if kind != "dask" or not address:
        _refuse(f"--executor takes dask:ADDRESS, not {elsewhere}")
    try:
        from distributed import Client
    except ImportError:
        _refuse("--executor dask:ADDRESS needs Dask: pip install 'wirelab[dask]'")
    try:
        client = Client(address, timeout=DASK_DEADLINE)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as exc:
        _refuse(f"there is no Dask scheduler at {address} ({exc})")
    with client:
        yield client.get_executor()  # type: ignore[no-untyped-call]


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
    """Write a file whole or not at all; to a device or a pipe as it comes."""
    try:
        if output.exists() and not output.is_file():
            output.write_bytes(text.encode("utf-8"))
            return
        write_whole(output, text.encode("utf-8"))
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


def _require_isolation(crew: Crew) -> None:
    crew.prepare()
    if crew.isolation != Isolation.NAMESPACES.name:
        _refuse(f"nothing was graded, for submissions would run with {_how_isolated(crew)}")


def _say_how_isolated(crew: Crew, elsewhere: str | None) -> None:
    if elsewhere:
        typer.echo("Submissions ran with what isolation the workers have: not looked at here.", err=True)
    elif crew.isolation and crew.isolation != Isolation.NAMESPACES.name:
        text = f"Submissions ran with {_how_isolated(crew)}."
        typer.echo(f"{text} Grade people you do not trust where Linux allows user namespaces.", err=True)


def _how_isolated(crew: Crew) -> str:
    assert crew.isolation
    return f"{Isolation[crew.isolation].value}, because this system gives {crew.reason}"
