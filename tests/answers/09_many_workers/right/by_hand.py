"""ASGI and Redis' protocol, both by hand: each member reads its room's stream over a connection of its own."""

import asyncio
import json
from urllib.parse import parse_qs, unquote, urlsplit


class Connection:
    """One connection to the broker, which is opened when it is needed, and again after it broke."""

    def __init__(self, url):
        self.port = urlsplit(url).port
        self.streams = None
        self.turn = asyncio.Lock()

    async def ask(self, *words):
        async with self.turn:
            try:
                if self.streams is None:
                    self.streams = await asyncio.open_connection("127.0.0.1", self.port)
                reader, writer = self.streams
                parts = [str(word).encode() for word in words]
                writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
                return await self.read(reader)
            except BaseException:
                self.close()
                raise

    async def read(self, reader):
        line = await reader.readuntil(b"\r\n")
        kind, rest = line[:1], line[1:-2]
        if kind in (b"+", b":"):
            return rest.decode()
        if kind == b"$":
            return None if rest == b"-1" else (await reader.readexactly(int(rest) + 2))[:-2].decode()
        if kind == b"*":
            return [await self.read(reader) for _ in range(int(rest))]
        raise ValueError(line)

    def close(self):
        if self.streams:
            self.streams[1].close()
            self.streams = None


def messages_from(entries):
    return [{"seq": int(number.split("-")[1]), "text": fields[1]} for number, fields in entries]


def create_app(broker_url):
    shared = Connection(broker_url)

    async def again(*words):
        try:
            return await shared.ask(*words)
        except (OSError, asyncio.IncompleteReadError):
            # Broken since the last time, most likely; once more on a new connection.
            return await shared.ask(*words)

    async def answer(send, status, value):
        body = json.dumps(value).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def read(key, after):
        return messages_from(await again("XRANGE", key, f"(0-{after}", "+"))

    async def serve_http(method, key, after, receive, send):
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body")
        try:
            if method == "GET":
                await answer(send, 200, {"messages": await read(key, after or 0)})
            else:
                text = json.loads(body)["text"]
                number = await again("XADD", key, "0-*", "text", text)
                await answer(send, 201, {"seq": int(number.split("-")[1]), "text": text})
        except (OSError, asyncio.IncompleteReadError):
            await answer(send, 503, {"detail": "The broker is away."})

    async def follow(key, after, send):
        own = Connection(broker_url)
        try:
            while True:
                try:
                    found = await own.ask("XREAD", "BLOCK", 0, "STREAMS", key, f"0-{after}")
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.2)
                    continue
                for message in messages_from(found[0][1]):
                    await send({"type": "websocket.send", "text": json.dumps(message)})
                    after = message["seq"]
        finally:
            own.close()

    async def serve_socket(key, after, receive, send):
        await receive()
        if after is None:
            newest = messages_from(await again("XREVRANGE", key, "+", "-", "COUNT", 1))
            after = newest[0]["seq"] if newest else 0
        await send({"type": "websocket.accept"})
        following = asyncio.create_task(follow(key, after, send))
        while (await receive())["type"] != "websocket.disconnect":
            pass
        following.cancel()

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        room = scope["path"].split("/")[2] if scope["path"].startswith("/rooms/") else ""
        after = parse_qs(scope["query_string"].decode()).get("after")
        after, key = int(after[0]) if after else None, f"chat/{unquote(room)}"
        if not room:
            await answer(send, 404, {"detail": "There are only rooms here."})
        elif scope["type"] == "http":
            await serve_http(scope["method"], key, after, receive, send)
        else:
            await serve_socket(key, after, receive, send)

    return app
