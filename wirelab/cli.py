"""The command line: ``wirelab doctor | serve | grade | progress | build``.

Each command imports what it needs when it runs: the doctor has to work where half of the packages do not.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wirelab import serving

# Seconds between two looks at a running server.
LOOK = 0.1

app = typer.Typer(
    help="Labs over the wire: REST APIs and WebSockets, built, run and measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


@app.command()
def doctor() -> None:
    """Look at what the lessons need from this machine. Exit status 1: something has to be mended."""
    from wirelab.doctor import Level, examine, report

    findings = examine()
    report(findings)
    if any(finding.level is Level.FAULT for finding in findings):
        raise typer.Exit(1)


@app.command()
def serve(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:ATTRIBUTE",
            help="An ASGI application or a WebSocket handler, such as wirelab.apps.todos:app.",
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port on 127.0.0.1; 0 takes a free one.")] = 0,
) -> None:
    """Serve an application of the kit, or of the current folder, until Ctrl+C."""
    from wirelab import serving

    # As `python -m` does: a learner's own modules stand in the current folder.
    sys.path.insert(0, "")
    try:
        server = serving.serve(target, port=port, log=True)
    except serving.ServeError as exc:
        typer.echo(exc, err=True)
        raise typer.Exit(1) from None
    with server:
        typer.echo(f"{target} is at {server.http} and {server.ws}; Ctrl+C stops it.")
        _watch(server)


def _watch(server: serving.Server) -> None:
    """Print what the server's handlers raise, until Ctrl+C."""
    shown = 0
    try:
        while server.running:
            shown += _print_errors(server.errors[shown:])
            time.sleep(LOOK)
    except KeyboardInterrupt:
        _print_errors(server.errors[shown:])
        return
    typer.echo("The server has ended by itself.", err=True)
    raise typer.Exit(1)


def _print_errors(errors: list[BaseException]) -> int:
    for error in errors:
        traceback.print_exception(error)
    return len(errors)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def grade(context: typer.Context) -> None:
    """Grade submissions, over the wire. `wirelab grade --help` says how."""
    from wirelab.grading.command import grade_command

    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(grade_command)
    command(context.args, prog_name="wirelab grade")


@app.command()
def progress(
    folder: Annotated[Path, typer.Argument(help="Where your labs are.")] = Path("labs"),
) -> None:
    """Say which labs pass and what is next. Exit status as of `grade`: 0 if every check of every lab passes."""
    from rich.console import Console

    from wirelab import standing
    from wirelab.grading import CrewError

    try:
        with Console(stderr=True).status("Grading what has changed"):
            labs = standing.standings(folder)
    except (FileNotFoundError, CrewError) as exc:
        typer.echo(f"wirelab progress: {exc}.", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    Console().print(standing.as_table(labs))
    for line in standing.next_step(labs):
        typer.echo(line)
    raise typer.Exit(0 if all(lab.passed for lab in labs) else 1)


@app.command()
def build(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if something is stale.")] = False,
) -> None:
    """Make labs/ from solutions/, and docs/claims.md from the executed lessons, all in the current folder."""
    from wirelab import authoring, claims

    if not Path("solutions").is_dir():
        typer.echo("There is no folder solutions here: call this from the top of the kit.", err=True)
        raise typer.Exit(2)
    try:
        changed = authoring.build(Path("solutions"), Path("labs"), check=check)
        register = Path("docs", "claims.toml")
        page = claims.write_page(register, Path("notebooks"), check=check) if register.exists() else None
    except (authoring.AuthoringError, claims.ClaimsError) as exc:
        typer.echo(exc, err=True)
        raise typer.Exit(1) from None
    changed += [page] if page else []
    for path in changed:
        typer.echo(f"{path} is {'stale' if check else 'written anew'}")
    if check and changed:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app()
