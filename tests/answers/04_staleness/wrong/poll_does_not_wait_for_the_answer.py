"""A task for each poll: while one answer is slow, the next question goes out."""

BASE = "aiohttp_throughout.py"
CHANGES = {
    """\
    seen, tags, end = [], [], perf_counter() + seconds + every
    async with""": """\
    seen, tags, tasks, end = [], [], set(), perf_counter() + seconds + every

    async def ask():
        headers = {"If-None-Match": tags[-1]} if tags else {}
        try:
            async with session.get(url, headers=headers) as answer:
                text = await answer.text()
        except aiohttp.ClientError:
            return
        if answer.status == 200:
            seen.append((json.loads(text)["seq"], perf_counter()))
            tags.append(answer.headers["ETag"])

    async with""",
    """\
            headers = {"If-None-Match": tags[-1]} if tags else {}
            try:
                async with asyncio.timeout(end - perf_counter()), session.get(url, headers=headers) as answer:
                    text = await answer.text()
            except (aiohttp.ClientError, TimeoutError):
                continue
            at = perf_counter()
            if answer.status == 200:
                seen.append((json.loads(text)["seq"], at))
                tags.append(answer.headers["ETag"])
""": """\
            tasks.add(asyncio.create_task(ask()))
        await asyncio.wait(tasks, timeout=end - perf_counter())
""",
}
FAILS = {
    "poll.slow": "before it was there",
}
