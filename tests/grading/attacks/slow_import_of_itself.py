"""Spends its time before it defines anything, where no signal reaches it."""

import itertools

sum(itertools.repeat(0))
app = None
