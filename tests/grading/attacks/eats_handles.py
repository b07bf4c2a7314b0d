"""Opens files until there are no more handles, and keeps them."""

files = []
try:
    while True:
        files.append(open("/dev/null"))
except OSError:
    pass
app = None
