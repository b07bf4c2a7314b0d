"""The page takes a script from somebody else's server."""

BASE = "starlette_queues.py"
CHANGES = {
    """<script>
  const say""": """<script src="https://cdn.example/petite.js"></script>
<script>
  const say""",
}
FAILS = {
    "page.served": "loads https://cdn.example",
}
