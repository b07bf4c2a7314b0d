"""Whoever changes the board sends to each socket itself, and one that is gone fails the request."""

BASE = "starlette_queues.py"
CHANGES = {
    """    def tell(self, message):
        for queue in self.queues:
            queue.put_nowait(json.dumps(message))
""": """    async def tell(self, message):
        for websocket in self.queues:
            await websocket.send_json(message)
""",
    "            self.tell(self.position()": "            await self.tell(self.position()",
    """    queue = asyncio.Queue()
    queue.put_nowait(json.dumps(board.position()))
    board.queues.append(queue)

    async def send():
        while True:
            await websocket.send_text(await queue.get())

    sending = asyncio.create_task(send())
    try:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        board.queues.remove(queue)
        sending.cancel()
        await asyncio.wait([sending])
""": """    await websocket.send_json(board.position())
    board.queues.append(websocket)
    await asyncio.Event().wait()
""",
}
FAILS = {
    "page.honest": "this needs POST /todos",
    "publish.gone": "although two clients of /updates had vanished before",
}
