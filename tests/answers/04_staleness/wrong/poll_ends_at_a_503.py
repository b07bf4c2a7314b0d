"""raise_for_status() without anybody who catches what it raises."""

BASE = "requests_and_threads.py"
CHANGES = {
    "except requests.RequestException:": "except (requests.ConnectionError, requests.Timeout):",
}
FAILS = {
    "poll.faults": "it raised HTTPError",
}
