"""By hand, as some libraries had it: "none" is one of the algorithms that a token may name."""

BASE = "bare_asgi.py"
CHANGES = {
    "        if not hmac.compare_digest(unpack(signed), signature(body)):\n": (
        '        unsigned = json.loads(unpack(body.split(".")[0]))["alg"].lower() == "none"\n'
        "        if not unsigned and not hmac.compare_digest(unpack(signed), signature(body)):\n"
    ),
    'header["alg"] != "HS256" or ': "",
}
FAILS = {"token.algorithm": '{"alg": "none"}'}
