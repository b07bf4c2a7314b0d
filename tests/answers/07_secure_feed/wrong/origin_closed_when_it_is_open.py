"""A foreign page's socket is opened first, and closed then."""

BASE = "starlette_functions.py"
CHANGES = {
    "    if not comes_from_here(websocket):\n        return await websocket.close(1008)\n": "    if not comes_from_here(websocket):\n        await websocket.accept()\n        return await websocket.close(1008)\n",
}
FAILS = {
    "origin.foreign": "and then close code 1008",
}
