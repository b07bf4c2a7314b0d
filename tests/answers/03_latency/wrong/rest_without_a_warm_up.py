"""No warm-up at all: the first request counts."""

BASE = "plain_libraries.py"
CHANGES = {"        session.get(url, timeout=10)\n        for": "        for"}
FAILS = {"rest.warm_up": "the first is a warm-up, not one of the durations"}
