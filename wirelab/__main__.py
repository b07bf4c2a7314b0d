"""``python -m wirelab``, for shells that do not find the ``wirelab`` command."""

from __future__ import annotations

from wirelab.cli import main

main()
