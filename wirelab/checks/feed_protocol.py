"""The protocol of lab 06, for both of its ends: what a message looks like, and the numbers that the lab gives.

All messages are JSON objects, sent as text. A client greets first, and asks for what it wants at any time. Every
request has one answer, in the order of the requests; updates come in between.

=========================================  =========================================================
request                                    answer
=========================================  =========================================================
``{"type": "hello", "token"}``             ``{"type": "welcome"}``
``{"type": "subscribe", "symbol"}``        ``{"type": "subscribed", "symbol", "seq"}``
``{"type": "unsubscribe", "symbol"}``      ``{"type": "unsubscribed", "symbol"}``
``{"type": "publish", "symbol", "data"}``  ``{"type": "published", "symbol", "seq"}``
anything else                              ``{"type": "error", "error"}``
=========================================  =========================================================

``{"type": "update", "symbol", "seq", "data"}`` goes to all who have subscribed to the symbol. A subscription may
name, as ``after``, the last update that the client has; the ``seq`` of the answer is the number of the update
before the one that comes next. What a client could not get is told to its caller as
``{"type": "gap", "symbol", "after", "seq"}``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from wirelab.checks.exchange import as_json

Object: TypeAlias = dict[str, Any]

TOKEN = "workshop"
QUEUE = 32  # messages that may wait for one client
TOO_SLOW = 4008  # close code for a client that reads too slowly
HEARTBEAT = 1.0  # seconds between two pings, and for the answer to one
NOTICE = 4.0  # seconds until a frozen peer has to be noticed
FIRST_DELAY, MAX_DELAY = 0.05, 1.0  # seconds: the bound of the first pause, and of the longest
GOOD_SPELL = 1.0  # seconds that a connection has to last for the pauses to begin anew

WELCOME: Object = {"type": "welcome"}
ANSWERS = {"subscribe": "subscribed", "unsubscribe": "unsubscribed", "publish": "published"}


def hello(token: str = TOKEN) -> Object:
    """The first message of a client."""
    return {"type": "hello", "token": token}


def subscribe(symbol: str) -> Object:
    """Ask for the updates of a symbol from now on."""
    return {"type": "subscribe", "symbol": symbol}


def unsubscribe(symbol: str) -> Object:
    """Ask for no more updates of a symbol."""
    return {"type": "unsubscribe", "symbol": symbol}


def publish(symbol: str, data: Any) -> Object:
    """Have an update sent to all who asked for its symbol."""
    return {"type": "publish", "symbol": symbol, "data": data}


def subscribed(symbol: str, seq: int) -> Object:
    """The answer to a subscription."""
    return {"type": "subscribed", "symbol": symbol, "seq": seq}


def update(symbol: str, seq: int, data: Any) -> Object:
    """An update."""
    return {"type": "update", "symbol": symbol, "seq": seq, "data": data}


def error(text: str) -> Object:
    """The answer to what is no request."""
    return {"type": "error", "error": text}


def gap(symbol: str, after: int, seq: int) -> Object:
    """What a caller is told: the updates between these two numbers, the latter included, are lost."""
    return {"type": "gap", "symbol": symbol, "after": after, "seq": seq}


def is_number(value: object) -> bool:
    """Whether a value of a message is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def answer_flaw(request: Object, answer: Object) -> str:
    """What is wrong with the answer to a request, in words; empty if nothing is."""
    due = ANSWERS[request["type"]]
    if answer.get("type") != due:
        return f"its type is {as_json(answer.get('type'))}, not {as_json(due)}"
    if answer.get("symbol") != request["symbol"]:
        return f"its symbol is {as_json(answer.get('symbol'))}, not {as_json(request['symbol'])}"
    if due != "unsubscribed" and not is_number(answer.get("seq")):
        return "it has no seq that is a whole number"
    return ""


def subscription_flaw(request: Object) -> str:
    """What is wrong with the subscription of a client, in words; empty if nothing is."""
    if not isinstance(request.get("symbol"), str):
        return "its symbol is no text"
    if request.get("after") is not None and not is_number(request["after"]):
        return "its after is no whole number"
    return ""
