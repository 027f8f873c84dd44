"""The set-up of a fresh machine, with the standard library alone.

`enter` is the first thing `manage.py` does. It leaves an active virtual environment alone; otherwise it
makes `.venv` from `Pipfile.lock`, every file checked against its hash, and runs the command again in there.

- A stamp, written last, says what `.venv` was made from. Without a stamp that fits, an environment of
  ours is made anew: an interrupted installation or a changed lock needs no repair by hand.
- One process installs at a time. The lock is held on the folder itself and ends with its holder.
- A `.venv` that somebody else made is used as it is, and never deleted.
- With a stamp that fits, this costs a millisecond.

`manage.py bootstrap --dev` also installs the tools of the checks, `--bench` what the benchmarks compare with.
BOURSE_BOOTSTRAP=off switches all of this off, for who brings the packages by other means.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class BootstrapError(Exception):
    """Why the environment cannot be made, and what helps, in one line."""


def enter(arguments: list[str]) -> None:
    """Return inside an environment that has the packages; end the process with one line if there is none."""
    asked = arguments[:1] == ["bootstrap"]
    try:
        if in_virtual_environment() or os.environ.get("BOURSE_BOOTSTRAP") == "off":
            require_django()
        else:
            python = Environment(ROOT).ready(
                dev=asked and "--dev" in arguments, bench=asked and "--bench" in arguments
            )
            if not asked:
                os.execv(python, [str(python), *sys.orig_argv[1:]])
    except BootstrapError as error:
        sys.exit(f"Bourse: {error}")
    except KeyboardInterrupt:
        sys.exit("\nBourse: interrupted; the next command goes on.")
    if asked:
        print("Bourse: the packages are installed.")
        sys.exit(0)


def in_virtual_environment() -> bool:
    return sys.prefix != sys.base_prefix


def require_django() -> None:
    if importlib.util.find_spec("django") is None:
        raise BootstrapError(
            f"Django is missing from the Python environment {sys.prefix}. "
            'Leave it ("deactivate") and run this again, and Bourse makes its own .venv.'
        )


class Environment:
    """The folder `.venv` of a checkout: what it should hold, what it holds, and how it is made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock_file = root / "Pipfile.lock"
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        # Made before anything else: a folder that has it is ours to delete.
        self.mark = self.folder / ".made-by-bourse"
        self.stamp = self.folder / ".stamp.json"

    def ready(self, *, dev: bool, bench: bool = False) -> Path:
        """The interpreter of an environment with every locked package; made first where needed."""
        try:
            if not self.is_ready(dev=dev, bench=bench):
                with one_at_a_time(self.root):
                    if not self.is_ready(dev=dev):
                        self.make(dev=dev or self.has_dev())
                    if not self.is_ready(dev=dev, bench=bench):
                        self.add_bench()
        except OSError as error:
            raise BootstrapError(f"cannot make {self.folder}: {error.strerror or error}") from error
        return self.python

    def is_ready(self, *, dev: bool, bench: bool = False) -> bool:
        if self.is_foreign():
            if self.has_django():
                return True
            raise BootstrapError(
                f"{self.folder} was not made by Bourse and lacks Django: activate it or remove it."
            )
        stamp = self.read_stamp()
        if not stamp or not (self.folder / "pyvenv.cfg").exists():
            return False
        fits = stamp.get("lock") == self.lock_hash() and stamp.get("python") == os.path.realpath(self.python)
        has_groups = bool(stamp.get("dev") or not dev) and bool(stamp.get("bench") or not bench)
        return fits and self.python.exists() and has_groups

    def is_foreign(self) -> bool:
        try:
            return any(self.folder.iterdir()) and not self.mark.exists()
        except FileNotFoundError:
            return False

    def has_django(self) -> bool:
        return self.python.exists() and any(self.folder.glob("lib/python3*/site-packages/django/__init__.py"))

    def has_dev(self) -> bool:
        """Whether the tools were there before the lock changed: then they are wanted again."""
        return bool(self.read_stamp().get("dev"))

    def read_stamp(self) -> dict[str, object]:
        try:
            stamp = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def lock_hash(self) -> str:
        try:
            return hashlib.sha256(self.lock_file.read_bytes()).hexdigest()
        except OSError as error:
            raise BootstrapError(f"cannot read {self.lock_file}: {error.strerror}") from error

    def make(self, *, dev: bool) -> None:
        """Make the environment from nothing. The stamp comes last: until then it does not count."""
        started = time.monotonic()
        wanted = {"lock": self.lock_hash(), "dev": dev}
        requirements = read_requirements(self.lock_file, dev=dev)
        require_installer()
        say(
            f"installing {len(requirements)} packages into {self.folder}, once; this takes about half a minute."
        )
        self.empty()
        venv.EnvBuilder(symlinks=True, with_pip=False).create(self.folder)
        install(self.python, requirements, folder=self.folder)
        self.write_stamp({**wanted, "python": os.path.realpath(self.python)})
        say(f"installed in {time.monotonic() - started:.0f} s.")

    def add_bench(self) -> None:
        """Install what the benchmarks compare with. One is built here: that may fail, and leaves the rest whole."""
        requirements = read_requirements(self.lock_file, group="bench-packages")
        require_installer()
        say(f"installing {len(requirements)} packages for the benchmarks; one of them needs a C++ compiler.")
        install(self.python, requirements, folder=self.folder)
        self.write_stamp({**self.read_stamp(), "bench": True})

    def write_stamp(self, stamp: dict[str, object]) -> None:
        draft = self.stamp.with_suffix(".draft")
        draft.write_text(json.dumps(stamp))
        draft.replace(self.stamp)

    def empty(self) -> None:
        """An empty folder with our mark, which never goes: a killed deletion leaves it ours."""
        self.stamp.unlink(missing_ok=True)
        self.folder.mkdir(exist_ok=True)
        self.mark.touch()
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self.mark:
                path.unlink()


def read_requirements(lock_file: Path, *, dev: bool = False, group: str = "default") -> list[str]:
    """The lines of a requirements file: one locked version with its hashes for each package."""
    try:
        lock = json.loads(lock_file.read_text())
        packages = {**lock[group], **(lock["develop"] if dev else {})}
        return [requirement(name, entry) for name, entry in sorted(packages.items())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BootstrapError(f"cannot read {lock_file}: {error!r}") from error


def requirement(name: str, entry: dict) -> str:
    extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
    marker = f" ; {entry['markers']}" if entry.get("markers") else ""
    hashes = "".join(f" --hash={value}" for value in entry["hashes"])
    return f"{name}{extras}{entry['version']}{marker}{hashes}"


def require_installer() -> None:
    if not has_module("pip") and not has_module("ensurepip"):
        raise BootstrapError(
            f"pip is missing for {sys.executable}. On Debian: sudo apt install python3-pip; then run this again."
        )


def has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def install(python: Path, requirements: list[str], *, folder: Path) -> None:
    """Install exactly these packages, each checked against its hashes. What it writes stays in `folder`."""
    # What a person's own pip configuration says about where to install does not hold in here.
    environment = {**os.environ, "PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PIP_TARGET", None)
    environment.pop("PYTHONHOME", None)
    if has_module("pip"):
        pip = [sys.executable, "-m", "pip", "--python", str(python)]
    else:
        command = [str(python), "-m", "ensurepip"]
        run_installer(command, environment, total=1, log=folder / "install.log")
        pip = [str(python), "-m", "pip"]
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(requirements))
    command = [*pip, "install", "--no-deps", "--require-hashes", "-r", str(listed)]
    run_installer(command, environment, total=len(requirements), log=folder / "install.log")


def run_installer(command: list[str], environment: dict[str, str], *, total: int, log: Path) -> None:
    collected = 0
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            output.write(line)
            if line.startswith("Collecting "):
                collected += 1
                show_progress(f"{collected} of {total} packages")
            elif line.startswith("Installing collected"):
                show_progress("unpacking")
    show_progress("")
    if process.wait() != 0:
        raise BootstrapError(f"the packages could not be installed. {last_error(log)} The whole story: {log}")


def last_error(log: Path) -> str:
    lines = log.read_text().splitlines()
    if any("NewConnectionError" in line or "Name or service not known" in line for line in lines):
        return "Is the network there?"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return f"pip says: {errors[0][:300]}" if errors else ""


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. It needs no file of its own, and the kernel frees it with the process."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is installing the packages; waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def say(text: str) -> None:
    print(f"Bourse: {text}", file=sys.stderr, flush=True)


def show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
