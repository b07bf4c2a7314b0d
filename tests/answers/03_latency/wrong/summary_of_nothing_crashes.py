"""An empty list is not thought of."""

BASE = "bare_sockets.py"
CHANGES = {
    """    if not ordered:
        raise ValueError("nothing to summarise")
""": "    ordered[0]\n",
}
FAILS = {"summary.empty": "IndexError"}
