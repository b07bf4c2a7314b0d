"""Only bad statuses are caught, and no broken connection."""

BASE = "requests_and_threads.py"
CHANGES = {
    "except requests.RequestException:": "except requests.HTTPError:",
}
FAILS = {
    "poll.faults": "it raised ConnectionError",
}
