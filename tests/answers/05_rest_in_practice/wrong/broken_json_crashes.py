"""A body that is no JSON is an exception that nobody expects."""

BASE = "starlette.py"

FAILS = {
    "errors.body": "got 500 Internal Server Error",
}

CHANGES = {
    """    except ValueError:
        raise HTTPException(400, "That is no JSON.") from None""": """    except KeyError:
        raise HTTPException(400, "That is no JSON.") from None""",
}
