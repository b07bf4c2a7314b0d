"""The lists are put side by side, whatever the seqs say."""

BASE = "requests_and_threads.py"
CHANGES = {
    "sorted(at - made[seq] for seq, at in seen if seq in made)": "sorted(at - moment for (_, at), (_, moment) in zip(seen, emitted))",
}
FAILS = {
    "staleness.mean": "for the same seq",
    "staleness.p95": "by whichever definition",
    "staleness.unknown": "as without these",
}
