"""Reads what it can of the processes above it: environment, memory, handles. It fails by showing its loot."""

import glob
import os

loot = []
for process in glob.glob("/proc/[0-9]*"):
    if process != f"/proc/{os.getpid()}":
        for name in ("environ", "mem", "maps"):
            try:
                with open(f"{process}/{name}", "rb") as file:
                    loot.append((process, name, file.read(1)))
            except OSError:
                pass
        try:
            loot += [os.readlink(handle) for handle in glob.glob(f"{process}/fd/*")]
        except OSError:
            pass
loot += [name for name in os.environ if "SECRET" in name]
# 0 to 2 lead nowhere, 3 to the grader, and 4 is the folder that is listed here.
loot += [os.readlink(f"/proc/self/fd/{handle}") for handle in os.listdir("/proc/self/fd") if int(handle) > 4]
if loot:
    raise RuntimeError(f"LOOT {loot}")
