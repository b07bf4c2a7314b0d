"""Grade submissions: each in a process of its own, judged over the wire.

    from wirelab.grading import grade

    for report in grade(["submissions"]):
        print(report.submission, report.score)

Three parties, so that nothing a submission does reaches its score: the grader, which holds the checks and their
random values; a clean process, which holds neither; and a child of that for each submission, which serves on a
socket that the grader made. `wirelab.grading.sandbox` says what holds the child.
"""

from .batch import UsageError, grade, grade_file
from .crew import Crew, CrewError
from .ledger import Ledger
from .limits import Limits
from .report import Report

__all__ = ["Crew", "CrewError", "Ledger", "Limits", "Report", "UsageError", "grade", "grade_file"]
