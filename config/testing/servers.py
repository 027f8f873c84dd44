"""Real servers for tests and benchmarks: PostgreSQL, mosquitto and Redis, thrown away afterwards.

    with postgresql_cluster() as postgresql, mosquitto_broker() as broker:
        run(DATABASE_URL=postgresql.url, MQTT_URL=broker.url)
        broker.kill()       # kill -9
        broker.restart()    # the same port, the same files

Each listens on a free port of 127.0.0.1 and keeps its files in a folder of its own, which is removed
when the block ends, however it ends. Nothing runs as root where the server refuses to.
"""

import functools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from unittest import skipIf

import psycopg2

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20

# What a name in `needs` stands for: any one of these programs.
PROGRAMS = {
    "postgresql": ("initdb",),
    "redis": ("redis-server",),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
}
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class ServerFailed(Exception):
    """A server ended or did not answer in time; with the end of its log."""


def find_program(name: str) -> str | None:
    """The path of a server's program, or None. Debian keeps some of them off the PATH of ordinary users."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(versions, key=lambda folder: float(folder.parent.name), reverse=True)
    folders = [
        os.environ.get("PATH", os.defpath),
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
        *map(str, newest_first),
    ]
    for program in PROGRAMS.get(name, (name,)):
        if path := shutil.which(program, path=os.pathsep.join(folders)):
            return path
    return None


def nothing_may_be_skipped() -> bool:
    """Whether this is a run, like CI's, in which a missing server is a failure."""
    return os.environ.get("BOURSE_REQUIRE_SERVERS") == "1"


def needs(*programs: str, packages: tuple[str, ...] = ()) -> Callable[[Decorated], Decorated]:
    """Skip a test or a class where a program or a Python package is missing; in CI, fail it."""
    missing = [name for name in programs if not find_program(name)]
    missing += [name for name in packages if find_spec(name) is None]
    reason = f"{' and '.join(missing)} not found"
    if missing and nothing_may_be_skipped():
        return functools.partial(_failing, reason=reason)
    return skipIf(missing, reason)


def _failing(test: Any, *, reason: str) -> Any:
    def fail(*_args: object) -> None:
        raise AssertionError(f"{reason}, and BOURSE_REQUIRE_SERVERS is set")

    if isinstance(test, type):
        test.setUpClass = classmethod(fail)  # type: ignore[attr-defined]
        return test
    return functools.wraps(test)(fail)


class Server:
    """One program with a port and a folder. Subclasses say how to run it and when it answers."""

    name = "server"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the files the program starts from. Once; `restart` keeps them."""

    def user_arguments(self) -> dict[str, Any]:
        """As whom to run, in the words of `subprocess.Popen`."""
        return {}

    def start(self) -> None:
        """Start the program and return when it answers."""
        if _connects(self.port):
            raise ServerFailed(f"{self.name} did not start: its port {self.port} is in use.")
        with (self.folder / "log").open("ab") as log:
            # A session of its own: Ctrl-C reaches the tests, which then end their servers in order.
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
                **self.user_arguments(),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return
            time.sleep(0.02)
        self.kill()
        raise ServerFailed(f"{self.name} did not start:\n{self.log_tail()}")

    def stop(self) -> None:
        """End the program as its operator would; by force when it does not."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """End the program as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def restart(self) -> None:
        """Start it again on the same port with the same files; stop it before, if it still runs."""
        self.stop()
        self.start()

    def log_tail(self, lines: int = 15) -> str:
        text = (self.folder / "log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


class Postgresql(Server):
    """A cluster with one database, `bourse`, whose owner is its superuser.

    The owner has a random password: other users of this machine reach the port too.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": does not wait for its clients

    def __init__(
        self, folder: Path, port: int, *, durable: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        super().__init__(folder, port)
        self.durable = durable
        self.options = options
        self.password = secrets.token_hex(16)
        # initdb's neighbours are the server that fits it; on PATH it may be a link.
        self.programs = Path(find_program("postgresql") or "initdb").resolve().parent

    @property
    def url(self) -> str:
        return f"postgres://bourse:{self.password}@127.0.0.1:{self.port}/bourse"

    def connect(self, database: str = "bourse") -> Any:
        """A new psycopg2 connection as the owner."""
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user="bourse", password=self.password, dbname=database
        )

    def prepare(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        self._give_away(self.folder, password_file)
        subprocess.run(
            [
                *(
                    self.programs / "initdb",
                    "-D",
                    self.folder / "data",
                    "-U",
                    "bourse",
                    "--pwfile",
                    password_file,
                ),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self.user_arguments(),
        )

    def command(self) -> list[str]:
        settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            # In its own folder: /dev/shm may be small, and keeps what a killed server leaves there.
            "dynamic_shared_memory_type=mmap",
            *self.options,
        ]
        if not self.durable:
            settings += ["fsync=off", "full_page_writes=off"]
        named = [part for setting in settings for part in ("-c", setting)]
        return [
            str(self.programs / "postgres"),
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
            *named,
        ]

    def start(self) -> None:
        # After kill -9 the children need a moment to notice; until then the memory is theirs.
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return super().start()
            except ServerFailed as error:
                if "still in use" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            connection = self.connect("postgres")
        except psycopg2.OperationalError:
            return False
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'bourse'")
                if cursor.fetchone() is None:
                    cursor.execute("CREATE DATABASE bourse")
        finally:
            connection.close()
        return True

    def user_arguments(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        user = _unprivileged_user()
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _give_away(self, *paths: Path) -> None:
        if os.geteuid() == 0:
            for path in paths:
                os.chown(path, _unprivileged_user().pw_uid, _unprivileged_user().pw_gid)


class Mosquitto(Server):
    """A broker. `config` is added to its configuration; without a word on it there, anybody may connect."""

    name = "mosquitto"

    def __init__(self, folder: Path, port: int, *, config: str = "") -> None:
        super().__init__(folder, port)
        self.config = config

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        lines = [f"listener {self.port} 127.0.0.1", "set_tcp_nodelay true"]
        if "allow_anonymous" not in self.config:
            lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            lines.append("user root")  # otherwise it becomes a user who may not read its own folder
        (self.folder / "mosquitto.conf").write_text("\n".join([*lines, self.config, ""]))
        super().start()

    def command(self) -> list[str]:
        return [find_program("mosquitto") or "mosquitto", "-c", str(self.folder / "mosquitto.conf")]

    def answers(self) -> bool:
        return _connects(self.port)


class Redis(Server):
    """A server without persistence."""

    name = "Redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        program = find_program("redis") or "redis-server"
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [program, *where, "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        return _connects(self.port)


@contextmanager
def postgresql_cluster(*, durable: bool = False, options: tuple[str, ...] = ()) -> Iterator[Postgresql]:
    """A cluster of its own; `durable` waits for the disk as production does, `options` are "name=value"."""
    with _running(functools.partial(Postgresql, durable=durable, options=options)) as server:
        yield server


@contextmanager
def mosquitto_broker(config: str = "") -> Iterator[Mosquitto]:
    with _running(functools.partial(Mosquitto, config=config)) as server:
        yield server


@contextmanager
def redis_server() -> Iterator[Redis]:
    with _running(Redis) as server:
        yield server


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


Running = TypeVar("Running", bound=Server)


@contextmanager
def _running(make: Callable[[Path, int], Running], attempts: int = 3) -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="bourse-"))
    server = None
    try:
        server = make(folder, free_port())
        server.prepare()
        _start(server, attempts)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _start(server: Server, attempts: int) -> None:
    for attempt in range(attempts):
        try:
            server.start()
            return
        except ServerFailed as error:
            # Somebody else may take the port between `free_port` and here.
            if "in use" not in str(error) or attempt == attempts - 1:
                raise
            server.port = free_port()


def _connects(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _unprivileged_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerFailed("PostgreSQL does not run as root, and there is no other user to run it as.")
