"""The quotation marks are taken off the tag, as if they were not part of it."""

BASE = "requests_and_threads.py"
CHANGES = {
    '{"If-None-Match": answer.headers["ETag"]}': '{"If-None-Match": answer.headers["ETag"].replace(\'"\', "")}',
}
FAILS = {
    "poll.etag": "with its quotation marks and its W/",
}
