"""CORS middleware is there, and taken for an origin check."""

BASE = "starlette_functions.py"
CHANGES = {
    "    if not comes_from_here(websocket):\n        return await websocket.close(1008)\n": "",
    "    exception_handlers={HTTPException: as_json},\n": '    exception_handlers={HTTPException: as_json},\n    middleware=[Middleware(CORSMiddleware, allow_origins=["http://127.0.0.1"])],\n',
    "from starlette.responses import JSONResponse\n": "from starlette.middleware import Middleware\nfrom starlette.middleware.cors import CORSMiddleware\nfrom starlette.responses import JSONResponse\n",
}
FAILS = {
    "origin.foreign": "CORS does not apply to WebSockets",
}
