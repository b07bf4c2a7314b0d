"""The tag is made from the seq, as the lesson's feed does it."""

BASE = "requests_and_threads.py"
CHANGES = {
    '{"If-None-Match": answer.headers["ETag"]}': '{"If-None-Match": f\'"{answer.json()["seq"]}"\'}',
}
FAILS = {
    "poll.etag": "expected If-None-Match: ",
}
