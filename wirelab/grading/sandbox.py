"""What keeps a submission from the machine: namespaces, a user of its own, resource limits.

Linux namespaces (man 7 namespaces) give the strongest hold: an own process tree that ends as one, an own network
with nothing but a loopback, and a file tree that holds Python and a small scratch folder. Where they are not to be
had, root still runs each submission as an unprivileged user of its own; everybody else has limits and process
groups, and `Isolation` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import platform
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psutil  # type: ignore[import-untyped]

from .limits import Limits

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 0x1, 0x2
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 4, 36, 38
CAPABILITY_VERSION_3 = 0x20080522
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SYS_MOUNT_SETATTR = 442

# Users that no account has: what systemd keeps for services without one.
FIRST_SPARE_USER, SPARE_USERS = 61184, 4336

SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store")
# Where programs are installed, and what is shown of it: a checkout may stand beside that (/usr/src/app).
SYSTEM_PREFIXES = ("/usr", "/usr/local")
PREFIX_PARTS = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "include", "share", "etc", "ssl", "pyvenv.cfg")
SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/ssl",
)
# Seconds to kill a tree of processes that grows meanwhile.
KILL_DEADLINE = 5.0
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Isolation(enum.Enum):
    """How far a submission is kept apart. The value says it to whoever grades."""

    NAMESPACES = "own process, network and file namespaces"
    USER = "a user of its own and resource limits"
    LIMITS = "process groups and resource limits only"
    PROCESSES = "processes of their own only, without limits on memory and processes"


def best_isolation(limits: Limits, folder: str) -> tuple[Isolation, str]:
    """Find the strongest isolation to be had here, by trying it in `folder`; say why no stronger one is."""
    reasons = []
    for isolation in (Isolation.NAMESPACES, Isolation.USER):
        try:
            _try(isolation, limits, folder)
        except OSError as exc:
            reasons.append(f"no {isolation.name.lower()} ({exc})")
        else:
            return isolation, ", ".join(reasons)
    return Isolation.LIMITS, ", ".join(reasons)


def _try(isolation: Isolation, limits: Limits, folder: str) -> None:
    """Enter an isolation in a process of its own.

    Raises:
        OSError: it cannot be had.
    """
    if isolation is Isolation.NAMESPACES and (sys.platform != "linux" or platform.machine() not in SYS_PIVOT_ROOT):
        raise OSError(f"{platform.system()} {platform.machine()} has none that are known here")
    sandbox = Sandbox(isolation, limits)
    if isolation is Isolation.USER and sandbox.user is None:
        raise OSError("only root can give a submission a user of its own")
    answer, question = os.pipe()
    if os.fork() == 0:
        try:
            os.close(answer)
            home = sandbox.enter(tempfile.mkdtemp(dir=folder))
            # As the supervisor forks the learner's process, and outlives it.
            if pid := os.fork():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            else:
                sandbox.restrict(home)
                # A user who cannot read the kit, or Python, cannot run it.
                Path(__file__).read_bytes()
                os.listdir(Path(os.__file__).parent)
                os.write(question, b"+")
        except BaseException as exc:
            os.write(question, str(exc).encode())
        finally:
            os._exit(0)
    os.close(question)
    with os.fdopen(answer, "rb") as pipe:
        said = pipe.read()
    if said != b"+":
        raise OSError(said.decode() or "the process that tried it died")


class Sandbox:
    """One submission's isolation and limits.

    Made in the clean process; `enter` is for its supervisor, `restrict` for the learner's process.
    """

    def __init__(self, isolation: Isolation, limits: Limits) -> None:
        self.isolation = isolation
        self.limits = limits
        self.address_space = _own_pages(0) + limits.memory
        self.user: int | None = None
        if isolation is not Isolation.LIMITS and _can_change_user():
            self.user, self._claim = _spare_user()

    def enter(self, folder: str) -> str:
        """Enter namespaces, where there are any, and return the submission's home.

        With namespaces this process ends here and its child, the first process of the new tree, returns.

        Args:
            folder: an empty folder, which the submission gets unless its file tree is its own.

        Raises:
            OSError: the system does not allow it.
        """
        os.setsid()
        if self.isolation is Isolation.NAMESPACES:
            _unshare(user=self.user is None)
            folder = _own_file_tree(folder, self.limits.file_size)
            _loopback_up()
        else:
            adopt_orphans()
        if self.user is not None:
            os.chown(folder, self.user, self.user)
        _let_others_look(False)
        return folder

    def restrict(self, home: str) -> None:
        """Give up privileges and set the limits, for good; the working directory becomes `home`."""
        import resource

        os.setsid()
        os.chdir(home)
        _let_others_look(True)
        with contextlib.suppress(OSError):
            # When memory runs out, this goes first.
            Path("/proc/self/oom_score_adj").write_text("1000")
        if self.user is not None:
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)
        if sys.platform == "linux":
            _drop_capabilities()
            _libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Again: a change of user has forbidden it.
        _let_others_look(True)
        limits = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: self.limits.cpu,
            resource.RLIMIT_FSIZE: self.limits.file_size,
            resource.RLIMIT_NOFILE: self.limits.open_files,
        }
        if sys.platform == "linux":
            limits[resource.RLIMIT_AS] = self.address_space
            limits[resource.RLIMIT_NPROC] = self.limits.processes + self._tasks_of_others()
        for kind, value in limits.items():
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))

    def _tasks_of_others(self) -> int:
        """How many tasks count against the limit that are not the submission's."""
        if self.isolation is not Isolation.LIMITS:
            return 0
        uid, count = os.getuid(), 0
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if process.stat().st_uid == uid:
                    count += len(os.listdir(process / "task"))
        return count

    def end(self, learner: int) -> NoReturn:
        """End every process of the submission, then this one, its supervisor.

        Args:
            learner: the learner's process, which leads a group; 0 if there is none.
        """
        if self.isolation is Isolation.USER:
            self._kill_user()
        if self.isolation is not Isolation.NAMESPACES:
            _kill_tree()
            if learner:
                # Where nobody adopts orphans, they have left the tree but not the group.
                with contextlib.suppress(OSError):
                    os.killpg(learner, signal.SIGKILL)
        # With namespaces, the first process takes all others with it.
        os._exit(0)

    def _kill_user(self) -> None:
        pid = os.fork()
        if pid == 0:
            assert self.user is not None
            os.setresuid(self.user, self.user, self.user)
            os.kill(-1, signal.SIGKILL)
            os._exit(0)
        os.waitpid(pid, 0)


def _can_change_user() -> bool:
    """Whether this is root, and a root who has more users than itself (in a user namespace it may have none)."""
    if os.geteuid() != 0:
        return False
    last = FIRST_SPARE_USER + SPARE_USERS
    with contextlib.suppress(OSError):
        spans = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
        return any(first <= FIRST_SPARE_USER and last <= first + count for first, _, count in spans)
    return True


def _spare_user() -> tuple[int, socket.socket | None]:
    """A user that no other submission on this machine has while what comes with the number is open."""
    first = os.getpid() % SPARE_USERS
    if sys.platform != "linux":
        return FIRST_SPARE_USER + first, None
    for user in (FIRST_SPARE_USER + (first + step) % SPARE_USERS for step in range(SPARE_USERS)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            # A name without a file: it is free again when the last process that holds it has ended (man 7 unix).
            claim.bind(f"\0wirelab-user-{user}")
        except OSError:
            claim.close()
        else:
            return user, claim
    raise OSError("every spare user has a submission already")


def _let_others_look(allowed: bool) -> None:
    """Whether processes of the same user may look into this one's memory and handles."""
    if sys.platform == "linux":
        _libc("prctl", PR_SET_DUMPABLE, int(allowed), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, where the system can do that."""
    if sys.platform == "linux":
        _libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def memory_of(pids: list[int]) -> Iterator[int]:
    """Resident memory of processes, in bytes."""
    for pid in pids:
        with contextlib.suppress(OSError, psutil.Error):
            yield _pages(pid, 1) if _has_proc() else psutil.Process(pid).memory_info().rss


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    if not _has_proc():
        with contextlib.suppress(OSError, psutil.Error):
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *descendants(child)]
    return found


def _has_proc() -> bool:
    """Whether the system tells of processes in Linux's /proc; psutil has other ways, which take longer."""
    return os.path.exists("/proc/self/statm")


def _kill_tree() -> None:
    """Kill what this process started, until nothing is left: a fork bomb refills the tree meanwhile."""
    deadline = time.monotonic() + KILL_DEADLINE
    while time.monotonic() < deadline:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _own_pages(column: int) -> int:
    with contextlib.suppress(OSError):
        return _pages(os.getpid(), column)
    return 0


def _pages(pid: int, column: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[column]) * os.sysconf("SC_PAGE_SIZE")


def _libc(function: str, *args: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*args) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def _unshare(*, user: bool) -> None:
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
    _libc("unshare", flags | CLONE_NEWUSER if user else flags)
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _loopback_up() -> None:
    import fcntl

    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _libc("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())


def _own_file_tree(root: str, scratch_size: int) -> str:
    """Build a file tree below `root`, fork into the new process namespace, make the tree its root.

    Returns:
        An empty folder below the only one that can be written to.
    """
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for folder in ("/proc", "/tmp", "/dev"):
        os.mkdir(root + folder)
    # Before what is shown: Python itself may stand below /tmp.
    _mount("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={scratch_size}")
    for path in visible_paths():
        _show(path, root)
    os.symlink("/tmp", root + "/dev/shm")
    _become_first_process()
    # A container may forbid a new /proc: then the submission has none.
    with contextlib.suppress(OSError):
        _mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(root)
    _libc("syscall", SYS_PIVOT_ROOT[platform.machine()], b".", b".")
    _libc("umount2", b".", MNT_DETACH)
    os.chdir("/")
    _set_mount("/", AT_RECURSIVE, on=MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID)
    _set_mount("/tmp", 0, off=MOUNT_ATTR_RDONLY)
    return tempfile.mkdtemp(prefix="home-", dir="/tmp")


def _set_mount(path: str, flags: int, *, on: int = 0, off: int = 0) -> None:
    attributes = struct.pack("QQQQ", on, off, 0, 0)
    _libc("syscall", SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, attributes, len(attributes))


def _become_first_process() -> None:
    if os.fork():
        os._exit(0)


def visible_paths() -> list[str]:
    """What of the machine's files a submission sees: the system's programs, Python and its packages."""
    package = Path(__file__).parent.parent
    checkout = None if package.parent.name.endswith("-packages") else package.parent
    # A checkout holds solutions and tests beside the package: of it only the package is shown.
    imported = [str(package) if Path(path) == checkout else path for path in sys.path]
    program = str(Path(sys.executable).resolve().parent.parent)
    prefixes = [*SYSTEM_PREFIXES, sys.prefix, sys.base_prefix, program]
    parts = [os.path.join(prefix, part) for prefix in prefixes for part in PREFIX_PARTS]
    installed = sorted(map(os.path.abspath, [*parts, *imported]), key=len)
    candidates = [*SYSTEM_FOLDERS, *SYSTEM_FILES, *DEVICES, *installed]
    visible: list[str] = []
    for path in candidates:
        if os.path.exists(path) and not any(path == seen or path.startswith(seen + "/") for seen in visible):
            visible.append(path)
    return visible


def _show(path: str, root: str) -> None:
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path) and path.startswith(SYSTEM_PREFIXES + SYSTEM_FOLDERS + SYSTEM_FILES):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        Path(target).touch()
    _mount(path, target, "", MS_BIND | MS_REC)


def _drop_capabilities() -> None:
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    _libc("capset", header, struct.pack("IIIIII", 0, 0, 0, 0, 0, 0))
