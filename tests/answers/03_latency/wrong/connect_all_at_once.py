"""All connections are opened at once."""

BASE = "asynchronous.py"
CHANGES = {
    """    durations = []
    for _ in range(n):
        start = perf_counter()
        await fetch(address.host, address.port, address.path)
        durations.append(perf_counter() - start)
    return durations""": """\

    async def one():
        start = perf_counter()
        await fetch(address.host, address.port, address.path)
        return perf_counter() - start

    return await asyncio.gather(*(one() for _ in range(n)))""",
}
FAILS = {
    "connect.turns": "no connection before the answer on the one before",
    "connect.durations": "this needs one request after another",
}
