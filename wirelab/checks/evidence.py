"""Experiments that are made once and judged by several checks, and waiting for what happens in them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar, cast

from wirelab.checks import Target

T = TypeVar("T")


class Subject:
    """What an exercise hands to its checks: it remembers what experiments have shown."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._shown: dict[object, Any] = {}

    async def evidence(self, experiment: Callable[[Self], Awaitable[T]]) -> T:
        """What an experiment showed; it is made when it is first asked for."""
        if experiment not in self._shown:
            self._shown[experiment] = await experiment(self)
        return cast(T, self._shown[experiment])


class FunctionSubject(Subject):
    """A subject whose experiments call a function of the target."""

    def __init__(self, target: Target) -> None:
        """Use `open`."""
        super().__init__()
        self._target = target

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[Self]:
        """For one exercise."""
        yield cls(target)


class News:
    """Wakes whoever waits for something to happen."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Something has happened."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait until a condition holds or so many seconds have passed; whether it holds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._event.wait()
        return bool(condition())


async def at_once(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Do several things at the same time; none goes on when one has failed."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
