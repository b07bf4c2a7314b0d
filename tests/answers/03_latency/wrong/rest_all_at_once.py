"""Asynchronous calls that are all started at once."""

BASE = "asynchronous.py"
CHANGES = {
    """    async with httpx2.AsyncClient(trust_env=False) as client:
        return await timed(lambda: client.get(url), n)""": """\
    async with httpx2.AsyncClient(trust_env=False) as client:
        await client.get(url)

        async def one():
            start = perf_counter()
            await client.get(url)
            return perf_counter() - start

        return await asyncio.gather(*(one() for _ in range(n)))""",
}
FAILS = {
    "rest.connection": "what waits beside others is timed with them",
    "rest.durations": "this needs one request after another",
}
