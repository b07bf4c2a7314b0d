"""The article's todo client with its faults repaired.

    python -m wirelab.apps.todo_client_mended http://127.0.0.1:5000

It gives up in time, notices a refusal, and makes one connection instead of one for each request.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

BASE_URL = "http://127.0.0.1:5000"
TIMEOUT = 5.0  # seconds to connect, and again between two pieces of an answer


class TodoClient(requests.Session):
    """A session with one server, with a timeout on each request and an exception for each refusal.

    Args:
        base_url: what stands before each path.
    """

    def __init__(self, base_url: str = BASE_URL) -> None:
        super().__init__()
        self.base_url = base_url.rstrip("/")
        # A proxy that the system is set to use could not reach a server on this machine.
        self.trust_env = False

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Ask for a path, such as ``/todos``.

        Raises:
            requests.HTTPError: the server refused (a status of 400 or more).
            requests.RequestException: the server did not answer, or not in time.
        """
        options.setdefault("timeout", TIMEOUT)
        response = super().request(method, self.base_url + url, *args, **options)
        response.raise_for_status()
        return response


def tour(base_url: str = BASE_URL) -> None:
    """Create, list, get, update and delete a todo, then list again; print each answer."""
    with TodoClient(base_url) as client:
        created = client.post("/todos", json={"task": "Water the plants"}).json()
        print("Created:", created)
        print("All:    ", client.get("/todos").json())

        path = f"/todos/{created['id']}"
        print("One:    ", client.get(path).json())
        print("Updated:", client.put(path, json={**created, "status": "Done"}).json())
        print("Deleted:", client.delete(path).status_code)
        print("All:    ", client.get("/todos").json())


def main() -> int:
    """Run the tour from a shell; return the exit status."""
    parser = argparse.ArgumentParser(description="Try every operation of a todo service.")
    parser.add_argument("base_url", nargs="?", default=BASE_URL)
    options = parser.parse_args()
    try:
        tour(options.base_url)
    except (InvalidSchema, InvalidURL, MissingSchema):
        print(f"{options.base_url!r} is no address of a service: write http:// before it.", file=sys.stderr)
    except requests.HTTPError as refusal:
        print(f"The todo service refused: {refusal}", file=sys.stderr)
    except requests.Timeout:
        print(f"The todo service at {options.base_url} took more than {TIMEOUT:g} seconds.", file=sys.stderr)
    except requests.RequestException:
        print(f"No todo service answers at {options.base_url}: is it running?", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
