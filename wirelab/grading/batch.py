"""Grading many submissions side by side."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ..checks import BROKE, LABS, Lab, Result
from ..checks.transcript import recording
from .admission import Admission
from .crew import Crew
from .ledger import Ledger
from .limits import Limits
from .report import Report, make_report
from .session import SandboxTarget, Session
from .submission import Submission, Unreadable, find, lab_in_name, read

# How many submissions are graded at a time at most, where nobody says how many.
JOBS_PER_CORE = 4


class UsageError(ValueError):
    """The call itself was wrong. The text says what to do."""


def grade(
    paths: Sequence[str | os.PathLike[str]],
    lab: str | None = None,
    *,
    executor: Executor | None = None,
    limits: Limits | None = None,
    crew: Crew | None = None,
    jobs: int | None = None,
    started: Callable[[int], None] | None = None,
    graded: Callable[[], None] | None = None,
    ledger: Ledger | None = None,
) -> Iterator[Report]:
    """Grade submissions side by side; give their reports in order, each as soon as those before it are there.

    Args:
        paths: notebooks and Python files; a folder stands for all submissions below it.
        lab: the lab of all of them, whatever they name; by default what each one names. One whose file name and
            metadata name different labs is not graded then.
        executor: grades elsewhere: in other processes, on other machines. By default threads of this process do.
        limits: for each submission.
        crew: starts the submissions' processes, if there is no `executor`; by default one is made and ended here.
        jobs: how many at a time, if there is no `executor`; by default one more than cores, because each waits now
            and then, and up to four times as many as cores while the processor has time for them.
        started: called with the number of submissions.
        graded: called as each one is graded, in any thread.
        ledger: what it knows is not graded again; what is graded is kept there, with a transcript.

    Raises:
        UsageError: there is no such lab or path, or a file given by its own name says no lab.
        CrewError: no process can be started for submissions here.
    """
    limits = limits or (crew.limits if crew else Limits())
    works = _works(paths, lab, limits)
    if ledger:
        works = [work if isinstance(work, Report) else ledger.known(*work) or work for work in works]
    if started:
        started(len(works))
    done = Done(graded, ledger)
    if executor is not None:
        return _gather(works, executor, functools.partial(_judge_elsewhere, limits, ledger is not None), done)
    if jobs:
        return _grade_here(works, crew, limits, jobs, contextlib.nullcontext(), done)
    return _grade_here(works, crew, limits, JOBS_PER_CORE * _cores(), Admission(_cores() + 1), done)


def grade_file(path: str | os.PathLike[str], lab: str | None, crew: Crew) -> Report:
    """Grade one submission in this thread.

    Raises:
        CrewError: no process can be started for it.
    """
    work = _work(Path(path), lab, crew.limits)
    return work if isinstance(work, Report) else judge(*work, crew)


Work = tuple[Submission, str]


@dataclass(frozen=True)
class Done:
    """What happens as each submission is graded, in any thread."""

    graded: Callable[[], None] | None
    ledger: Ledger | None

    def __call__(self, work: Work | Report, future: Future[Report]) -> None:
        """Keep the report, unless the grading itself broke, and tell."""
        if self.ledger and not isinstance(work, Report) and not future.cancelled() and not future.exception():
            report = future.result()
            if not any(result.message.startswith(BROKE) for result in report.results):
                self.ledger.keep(*work, report)
        if self.graded:
            self.graded()


def _works(paths: Sequence[str | os.PathLike[str]], lab: str | None, limits: Limits) -> list[Work | Report]:
    """What there is to grade: submissions with their labs, and reports of what cannot be graded."""
    if lab is not None and lab not in LABS:
        raise UsageError(f"there is no lab {lab!r}; there are {', '.join(LABS)}")
    try:
        files = list(find(paths, lab, LABS))
    except FileNotFoundError as exc:
        raise UsageError(str(exc)) from exc
    if not files:
        raise UsageError("there is no submission: no notebook, and no Python file named after a lab")
    works = [_work(file, lab, limits) for file in files]
    given = {str(Path(path)) for path in paths}
    for file, work in zip(files, works, strict=True):
        if str(file) in given and isinstance(work, Report) and work.error == NO_LAB:
            raise UsageError(f"{file} {NO_LAB}")
    return works


NO_LAB = f"does not say which lab it is: give --lab, one of {', '.join(LABS)}"


def _work(path: Path, lab: str | None, limits: Limits) -> Work | Report:
    try:
        submission = read(path, LABS, limits)
    except Unreadable as exc:
        named = lab or lab_in_name(path, LABS)
        results = _not_run(LABS[named], f"Could not run: the file cannot be read: {exc}.") if named else []
        return make_report(str(path), named, results, str(exc))
    named = lab or submission.lab
    if named is None or named not in LABS:
        return make_report(str(path), None, error=NO_LAB)
    if submission.doubt and lab is None:
        results = _not_run(LABS[named], f"Could not run: {submission.doubt}.")
        return make_report(str(path), named, results, submission.doubt)
    return submission, named


def _not_run(lab: Lab, reason: str) -> list[Result]:
    return [result for name in lab.exercises for result in lab.not_run(name, reason)]


def _grade_here(
    works: list[Work | Report],
    given: Crew | None,
    limits: Limits,
    jobs: int,
    admission: AbstractContextManager[None],
    done: Done,
) -> Iterator[Report]:
    own_or_given = contextlib.nullcontext(given) if given else Crew(limits)
    with own_or_given as crew, ThreadPoolExecutor(jobs, "wirelab grades") as threads:
        try:
            labs = {work[1] for work in works if not isinstance(work, Report)}
            if labs:
                # The clean process imports while this one imports the labs.
                ready = threads.submit(crew.prepare)
                for lab in labs:
                    LABS[lab]
                ready.result()

            def judge_one(work: Work) -> Report:
                with admission:
                    return _judge_with(crew, done.ledger is not None, work)

            yield from _gather(works, threads, judge_one, done)
        except BaseException:
            # An interrupt. The threads are waited for next: this ends what they wait for.
            crew.close()
            raise


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gather(
    works: list[Work | Report],
    executor: Executor,
    judge_one: Callable[[Work], Report],
    done: Done,
) -> Iterator[Report]:
    futures = [_submit(work, executor, judge_one) for work in works]
    for work, future in zip(works, futures, strict=True):
        future.add_done_callback(functools.partial(done, work))
    try:
        for work, future in zip(works, futures, strict=True):
            yield work if isinstance(work, Report) else _result(work, future)
    finally:
        for future in futures:
            future.cancel()


def _submit(work: Work | Report, executor: Executor, judge_one: Callable[[Work], Report]) -> Future[Report]:
    if not isinstance(work, Report):
        return executor.submit(judge_one, work)
    done: Future[Report] = Future()
    done.set_result(work)
    return done


def _result(work: Work, future: Future[Report]) -> Report:
    """The report, also of a grading that broke: it must not stop the others."""
    try:
        return future.result()
    except Exception as exc:
        return broken(work[0].name, work[1], exc)


def broken(name: str, lab: str, exc: BaseException) -> Report:
    """The report of a submission whose grading broke: no points, and whose fault it is."""
    error = f"the grader itself failed: {type(exc).__name__}: {exc}"
    return make_report(name, lab, _not_run(LABS[lab], f"Could not run: {error}."), error)


_elsewhere = threading.Lock()


@functools.lru_cache(1)
def _crew_of_this_process(limits: Limits) -> Crew:
    crew = Crew(limits)
    atexit.register(crew.close)
    return crew


def _judge_with(crew: Crew, record: bool, work: Work) -> Report:
    return judge(*work, crew, record=record)


def _judge_elsewhere(limits: Limits, record: bool, work: Work) -> Report:
    """Grade in a process that grades many: its crew stays for the next one."""
    with _elsewhere:
        crew = _crew_of_this_process(limits)
    return _judge_with(crew, record, work)


def judge(submission: Submission, lab: str, crew: Crew, *, record: bool = False) -> Report:
    """Judge one submission; on demand with a transcript of what its checks send and receive.

    Raises:
        CrewError: no process could be started for it, or the crew was closed meanwhile.
    """
    # Not the Windows default, which cannot wait for a socket to become readable.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(_judge(submission, LABS[lab], crew, record))


async def _judge(submission: Submission, lab: Lab, crew: Crew, record: bool) -> Report:
    results: list[Result] = []
    transcripts = []
    async with Session(crew, submission, lab) as session:
        for name in lab.exercises:
            with recording() if record else contextlib.nullcontext() as transcript:
                results += await _run(lab, name, session)
            if session.trouble:
                raise session.trouble
            crew.demand_open()
            if transcript:
                transcripts.append((name, transcript.texts()))
    error = "; ".join([*session.faults, *session.deaths])
    return make_report(submission.name, lab.name, results, error, transcripts)


async def _run(lab: Lab, exercise: str, session: Session) -> list[Result]:
    try:
        async with asyncio.timeout_at(session.deadline), SandboxTarget(session) as target:
            return await lab.run(exercise, target)
    except TimeoutError:
        late = f"Could not run: the {session.crew.limits.wall:g} seconds for a submission were over."
        return lab.not_run(exercise, late)
