"""A real kernel to run cells in, seen as a front end sees it: every line of output belongs to one cell."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

CELL_DEADLINE = 30.0


@dataclass
class Cell:
    """What stands beneath a cell."""

    stdout: str = ""
    stderr: str = ""
    error: str = ""
    displays: list[str] = field(default_factory=list)


class Kernel:
    """Runs cells one after the other; keeps apart what came beneath which."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.cells: dict[str, Cell] = {}
        # nbval runs cells without: then they all have the same execution count.
        self.store_history = True

    @property
    def pid(self) -> int:
        pid: int = self.manager.provisioner.pid  # type: ignore[union-attr, attr-defined]
        return pid

    def start(self, code: str, *, allow_stdin: bool = False) -> str:
        """Send a cell; `finish` waits for it."""
        cell_id: str = self.client.execute(code, allow_stdin=allow_stdin, store_history=self.store_history)
        self.cells[cell_id] = Cell()
        return cell_id

    def finish(self, cell_id: str, deadline: float = CELL_DEADLINE) -> Cell:
        end = time.monotonic() + deadline
        while self._next_message(end) != ("idle", cell_id):
            pass
        return self.cells[cell_id]

    def run(self, code: str, *, allow_stdin: bool = False, fails: bool = False) -> Cell:
        cell = self.finish(self.start(code, allow_stdin=allow_stdin))
        assert fails or not cell.error, cell.error
        return cell

    def wait_for_output(self, cell_id: str, text: str) -> None:
        deadline = time.monotonic() + CELL_DEADLINE
        while text not in self.cells[cell_id].stdout:
            self._next_message(deadline)

    def interrupt(self, cell_id: str) -> Cell:
        """Send SIGINT to the kernel's process group, as JupyterLab's stop button does, until the cell has ended.

        Python loses an interrupt that comes while it runs the callback of a weak reference.
        """
        for _ in range(5):
            self.manager.interrupt_kernel()
            with suppress(TimeoutError):
                return self.finish(cell_id, CELL_DEADLINE / 5)
        raise TimeoutError(f"the cell cannot be interrupted: {self.cells[cell_id]}")

    def _next_message(self, deadline: float) -> tuple[str, str]:
        try:
            message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"the kernel said nothing more in time: {list(self.cells.values())[-2:]}") from None
        cell_id = message["parent_header"].get("msg_id", "")
        cell, content = self.cells.setdefault(cell_id, Cell()), message["content"]
        match message["msg_type"]:
            case "stream" if content["name"] == "stdout":
                cell.stdout += content["text"]
            case "stream":
                cell.stderr += content["text"]
            case "error":
                cell.error = f"{content['ename']}: {content['evalue']}"
            case "display_data" | "update_display_data" | "execute_result":
                cell.displays.append(content["data"].get("text/html", content["data"]["text/plain"]))
            case "status":
                return content["execution_state"], cell_id
        return "", cell_id


@contextmanager
def kernel() -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    # With PYTEST_CURRENT_TEST, ipykernel does not show what reaches the file handles of stdout and stderr.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    manager.start_kernel(env=environment)
    client: Any = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=CELL_DEADLINE)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
