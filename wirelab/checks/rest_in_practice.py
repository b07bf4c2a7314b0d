"""Lab 05: a todo service that other people's programs can rely on. Its deliverable is ``app``, under /v1/todos."""

from __future__ import annotations

from wirelab.checks import Lab
from wirelab.checks.practice_errors import ERRORS
from wirelab.checks.practice_formats import FORMATS
from wirelab.checks.practice_limits import LIMITS
from wirelab.checks.practice_pages import PAGES_EXERCISE
from wirelab.checks.practice_retry import RETRY
from wirelab.checks.practice_tags import CONDITIONAL, UPDATE

LAB = Lab(
    name="05_rest_in_practice",
    title="REST in practice",
    deliverables={"app": "asgi"},
    exercises={
        exercise.name: exercise
        for exercise in (PAGES_EXERCISE, ERRORS, CONDITIONAL, UPDATE, LIMITS, RETRY, FORMATS)
    },
)
