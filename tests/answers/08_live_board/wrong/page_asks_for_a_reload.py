"""The page listens, but draws nothing: it asks its reader to reload."""

BASE = "starlette_queues.py"
CHANGES = {
    """      await draw();
      say("Live");
""": """      say("There is news, please reload");
""",
    """  listen();
</script>""": """  listen();
  draw();
</script>""",
}
FAILS = {
    "page.live": 'expected to see it in #todos without a reload',
    "page.text": 'this needs a page that shows the board',
    "page.honest": 'this needs a page that shows the board',
}
