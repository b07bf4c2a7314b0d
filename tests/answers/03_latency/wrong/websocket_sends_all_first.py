"""All messages are sent, then all answers are read: what piles up on the way is timed."""

BASE = "asynchronous.py"
CHANGES = {
    "        return await timed(talk, n)": """\
        await talk()
        starts = []
        for _ in range(n):
            starts.append(perf_counter())
            await websocket.send("?")
        durations = []
        for start in starts:
            await websocket.recv()
            durations.append(perf_counter() - start)
        return durations""",
}
FAILS = {
    "websocket.connection": "what waits beside others is timed with them",
    "websocket.durations": "this needs one text message after another",
}
