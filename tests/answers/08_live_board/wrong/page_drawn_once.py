"""The page shows the board as it was when it was loaded."""

BASE = "starlette_queues.py"
CHANGES = {
    """  function listen() {
    const socket = new WebSocket(new URL("updates", location.href).href.replace("http", "ws"));
    socket.onmessage = async () => {
      await draw();
      say("Live");
    };
    socket.onclose = () => {
      say("Not connected");
      setTimeout(listen, 100 + 200 * Math.random());
    };
  }
  listen();
""": """  draw().then(() => say("Live"));
""",
}
FAILS = {
    "page.served": "names no socket",
    "page.live": "without a reload",
    "page.text": "this needs a page that shows the board",
    "page.honest": "this needs a page that shows the board",
}
