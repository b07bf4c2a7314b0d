"""What a reader that stops does to the others is measured truly, whoever waits for it and whoever does not."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import numpy as np
import pytest
from websockets.asyncio.server import broadcast

from wirelab.slow_readers import EVERY, READS_ON, SECONDS, STOPS, Member, Trial, Update, trials

COUNT = round(SECONDS / EVERY)


async def wait(members: Collection[Member], update: Update) -> None:
    for member in members:
        await member.send(update)


async def spread(members: Collection[Member], update: Update) -> None:
    broadcast([member.websocket for member in members], update.text)


async def queue(members: Collection[Member], update: Update) -> None:
    for member in members:
        if len(member.queue) == 5:
            member.queue.popleft()
        member.post(update)


async def drop(members: Collection[Member], update: Update) -> None:
    for member in members:
        if len(member.queue) == 5:
            member.drop(4008)
        else:
            member.post(update)


@pytest.fixture(scope="module")
def found() -> dict[str, Trial]:
    return asyncio.run(trials({"wait": wait, "spread": spread, "queue": queue, "drop": drop}))


def test_whoever_waits_makes_all_wait(found):
    assert found["wait"].worst > (READS_ON - STOPS) / 2
    assert max(found[name].worst for name in ("spread", "queue", "drop")) < found["wait"].worst / 2


def test_every_update_reaches_the_healthy(found):
    for trial in found.values():
        assert len(trial.due) == len(trial.delay) == COUNT
        assert not np.isnan(trial.delay).any()
        assert trial.delay.min() > -0.001


def test_memory_grows_without_a_bound(found):
    assert found["spread"].held > 2 * found["queue"].held > 0
    assert found["drop"].held < found["spread"].held


def test_what_the_slow_reader_gets(found):
    assert found["wait"].missed == found["spread"].missed == 0
    assert 0 < found["queue"].missed < COUNT
    assert found["drop"].missed > found["queue"].missed
    assert {name: trial.code for name, trial in found.items()} == {
        "wait": None,
        "spread": None,
        "queue": None,
        "drop": 4008,
    }


def test_a_policy_that_fails_is_heard_of():
    async def broken(members: Collection[Member], update: Update) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(trials({"broken": broken}))
