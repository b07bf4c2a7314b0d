"""The W/ of a weak tag is taken off."""

BASE = "requests_and_threads.py"
CHANGES = {
    '{"If-None-Match": answer.headers["ETag"]}': '{"If-None-Match": answer.headers["ETag"].removeprefix("W/")}',
}
FAILS = {
    "poll.etag": "with its quotation marks and its W/",
}
