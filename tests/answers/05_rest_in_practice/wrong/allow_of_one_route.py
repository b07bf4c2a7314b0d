"""A 405 is left to the framework, which names the methods of the first route at that path."""

BASE = "starlette.py"

FAILS = {
    "errors.allow": "which are the methods that /v1/todos",
}

CHANGES = {
    """        Route("/v1/todos", refuse(["GET", "POST", "HEAD"]), methods=["PUT", "PATCH", "DELETE"]),
""": "",
    """        Route("/v1/todos/{id}", refuse(["GET", "PATCH", "DELETE", "HEAD"]), methods=["PUT", "POST"]),
""": "",
}
