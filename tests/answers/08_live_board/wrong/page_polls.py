"""The page asks again and again, and listens to nothing."""

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
""": """  setInterval(() => draw().then(() => say("Live"), () => say("Not connected")), 200);
""",
}
FAILS = {
    "page.served": "names no socket",
    "page.live": "no WebSocket to /updates",
    "page.text": "this needs a page that shows the board",
    "page.honest": "this needs a page that shows the board",
}
