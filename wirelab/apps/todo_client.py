"""The article's todo client: each thing that one can do with todos, once.

    python -m wirelab.apps.todo_client http://127.0.0.1:5000

It keeps the article's faults: it waits for ever, and believes every answer. `todo_client_mended` does not.
"""

from __future__ import annotations

import argparse
import sys

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

BASE_URL = "http://127.0.0.1:5000"


def tour(base_url: str = BASE_URL) -> None:
    """Create, list, get, update and delete a todo, then list again; print each answer."""
    todos = f"{base_url}/todos"
    created = requests.post(todos, json={"task": "Water the plants"}).json()
    print("Created:", created)
    print("All:    ", requests.get(todos).json())

    todo = f"{todos}/{created['id']}"
    print("One:    ", requests.get(todo).json())
    print("Updated:", requests.put(todo, json={"task": "Water the plants", "status": "Done"}).json())
    print("Deleted:", requests.delete(todo).text)
    print("All:    ", requests.get(todos).json())


def main() -> int:
    """Run the tour from a shell; return the exit status."""
    parser = argparse.ArgumentParser(description="Try every operation of a todo service.")
    parser.add_argument("base_url", nargs="?", default=BASE_URL)
    options = parser.parse_args()
    try:
        tour(options.base_url)
    except (InvalidSchema, InvalidURL, MissingSchema):
        print(f"{options.base_url!r} is no address of a service: write http:// before it.", file=sys.stderr)
        return 1
    except requests.RequestException:
        print(f"No todo service answers at {options.base_url}: is it running?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
