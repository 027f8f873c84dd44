"""The set-up of a fresh machine, for real: folders, processes and pip, with packages made up here.

A stand-in for Django prints what it was asked, so that no test needs the network.
"""

import ast
import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

from django.test import SimpleTestCase
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from config import bootstrap

ROOT = Path(__file__).resolve().parents[2]
OUTER_PYTHON = sys._base_executable  # type: ignore[attr-defined]
# Debian takes it out of Python.
HAS_ENSUREPIP = find_spec("ensurepip") is not None
ECHO = (
    "def execute_from_command_line(argv):\n    print('django', *argv[1:])\n    raise SystemExit(len(argv))\n"
)


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> str:
    """Write a wheel that pip takes, and return its hash as a lock file has it."""
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={record_hash(text)},{len(text)}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Checkout:
    """A clone with a lock file of its own, and the packages that this names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bourse"
        self.venv = self.folder / ".venv"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        (self.folder / "config").mkdir(parents=True)
        for path in ("manage.py", "config/__init__.py", "config/bootstrap.py"):
            shutil.copy(ROOT / path, self.folder / path)
        self.lock("1.0")

    def lock(self, version: str, hashed: str | None = None) -> None:
        files = {
            "django/__init__.py": f"version = '{version}'\n",
            "django/core/__init__.py": "",
            "django/core/management/__init__.py": ECHO,
        }
        true_hash = make_wheel(self.wheels, "django", version, files)
        tool = make_wheel(self.wheels, "tool", "1.0", {"tool.py": ""})
        rival = make_wheel(self.wheels, "rival", "1.0", {"rival.py": ""})
        lock = {
            "default": {"django": {"version": f"=={version}", "hashes": [hashed or true_hash]}},
            "develop": {"tool": {"version": "==1.0", "hashes": [tool], "markers": "python_version >= '3.8'"}},
            "bench-packages": {"rival": {"version": "==1.0", "hashes": [rival]}},
        }
        (self.folder / "Pipfile.lock").write_text(json.dumps(lock))

    def start(self, *arguments: str, python: str = OUTER_PYTHON, **environment: str) -> subprocess.Popen[str]:
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "BOURSE_"))
        }
        offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        return subprocess.Popen(
            [python, str(self.folder / "manage.py"), *arguments],
            env=clean | offline | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, python: str = OUTER_PYTHON, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, python=python, **environment)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors

    def has(self, module: str) -> bool:
        return any(self.venv.glob(f"lib/python3*/site-packages/{module}*"))


class BootstrapTestCase(SimpleTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="bourse-bootstrap-")
        self.addCleanup(folder.cleanup)
        self.checkout = Checkout(Path(folder.name))

    def assertRefused(self, result: tuple[int, str, str], reason: str) -> None:
        """It ended with a failure whose last line says why, and no traceback."""
        status, _, errors = result
        self.assertEqual(status, 1, errors)
        self.assertIn(reason, errors.strip().splitlines()[-1])
        self.assertNotIn("Traceback", errors)


class FirstRunTests(BootstrapTestCase):
    def test_it_installs_what_is_locked_and_runs_the_command_there(self) -> None:
        status, output, errors = self.checkout.run("demo", "--fast")
        self.assertEqual((status, output), (3, "django demo --fast\n"), errors)
        self.assertIn("installing 1 packages", errors)
        self.assertFalse(self.checkout.has("tool"))
        self.assertFalse(self.checkout.has("rival"))

    def test_it_installs_nothing_the_second_time(self) -> None:
        self.checkout.run("demo")
        status, output, errors = self.checkout.run("demo")
        self.assertEqual((status, output, errors), (2, "django demo\n", ""))

    def test_it_prefers_its_own_packages_to_those_of_the_machine(self) -> None:
        elsewhere = self.checkout.folder / "elsewhere" / "django" / "core" / "management"
        elsewhere.mkdir(parents=True)
        (elsewhere / "__init__.py").write_text(ECHO.replace("'django'", "'another django'"))
        self.checkout.run("bootstrap", PYTHONPATH=str(elsewhere.parents[2]))
        self.assertTrue(self.checkout.has("django"))

    def test_it_adds_the_tools_when_asked_and_keeps_them(self) -> None:
        status, output, _ = self.checkout.run("bootstrap", "--dev")
        self.assertEqual((status, output), (0, "Bourse: the packages are installed.\n"))
        self.assertTrue(self.checkout.has("tool"))
        self.checkout.lock("2.0")
        self.checkout.run("demo")
        self.assertTrue(self.checkout.has("tool"))

    def test_it_adds_what_the_benchmarks_compare_with_when_asked(self) -> None:
        self.checkout.run("bootstrap", "--dev")
        status, output, errors = self.checkout.run("bootstrap", "--bench")
        self.assertEqual((status, output), (0, "Bourse: the packages are installed.\n"), errors)
        self.assertTrue(self.checkout.has("rival"))
        self.assertTrue(self.checkout.has("tool"))
        self.assertEqual(self.checkout.run("bootstrap", "--dev", "--bench")[2], "")

    def test_an_environment_survives_a_rival_that_cannot_be_installed(self) -> None:
        self.checkout.run("demo")
        for wheel in self.checkout.wheels.glob("rival-*"):
            wheel.unlink()
        self.assertRefused(self.checkout.run("bootstrap", "--bench"), "the packages could not be installed")
        self.assertEqual(self.checkout.run("demo"), (2, "django demo\n", ""))

    def test_it_waits_for_another_command_that_installs(self) -> None:
        processes = [self.checkout.start("demo") for _ in range(2)]
        results = [process.communicate(timeout=120) for process in processes]
        self.assertEqual([output for output, _ in results], ["django demo\n"] * 2)
        self.assertEqual(sum("installing" in errors.replace("is installing", "") for _, errors in results), 1)


class LaterRunTests(BootstrapTestCase):
    def test_it_installs_again_when_the_lock_changed(self) -> None:
        self.checkout.run("demo")
        self.checkout.lock("2.0")
        _, _, errors = self.checkout.run("demo")
        self.assertIn("installing", errors)
        self.assertTrue(self.checkout.has("django-2.0"))
        self.assertFalse(self.checkout.has("django-1.0"))

    def test_it_installs_again_when_python_was_replaced(self) -> None:
        self.checkout.run("demo")
        stamp = self.checkout.venv / ".stamp.json"
        stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"python": "/usr/bin/python3.10"}))
        self.assertIn("installing", self.checkout.run("demo")[2])

    def test_it_heals_after_kill_minus_9_at_any_moment(self) -> None:
        for moment in (".made-by-bourse", "pyvenv.cfg", "install.log"):
            with self.subTest(moment=moment):
                shutil.rmtree(self.checkout.venv, ignore_errors=True)
                self.kill_when_there_is(moment)
                self.assertFalse(
                    (self.checkout.venv / ".stamp.json").exists(), "killed too late to prove anything"
                )
                self.assertEqual(self.checkout.run("demo")[1], "django demo\n")

    def kill_when_there_is(self, file: str) -> None:
        process = self.checkout.start("demo")
        deadline = time.monotonic() + 60
        while not (self.checkout.venv / file).exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def test_it_heals_after_a_deletion_that_was_killed(self) -> None:
        self.checkout.run("demo")
        (self.checkout.venv / ".stamp.json").unlink()
        environment = bootstrap.Environment(self.checkout.folder)
        with (
            mock.patch.object(shutil, "rmtree", side_effect=KeyboardInterrupt),
            self.assertRaises(KeyboardInterrupt),
        ):
            environment.empty()
        self.assertFalse(environment.is_foreign())
        self.assertEqual(self.checkout.run("demo")[1], "django demo\n")

    def test_it_installs_with_the_pip_that_python_brings_along(self) -> None:
        environment = bootstrap.Environment(self.checkout.folder)
        offline = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.checkout.wheels),
            "PIP_CONFIG_FILE": os.devnull,
        }
        with (
            mock.patch.object(bootstrap, "has_module", lambda name: name == "ensurepip"),
            mock.patch.dict(os.environ, offline),
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.suppress(bootstrap.BootstrapError) if not HAS_ENSUREPIP else contextlib.nullcontext(),
        ):
            environment.ready(dev=False)
        self.assertEqual(self.checkout.has("django"), HAS_ENSUREPIP)

    def test_it_uses_an_environment_that_somebody_else_made(self) -> None:
        subprocess.run([OUTER_PYTHON, "-m", "venv", "--without-pip", self.checkout.venv], check=True)
        packages = next(self.checkout.venv.glob("lib/python3*/site-packages"))
        with zipfile.ZipFile(next(self.checkout.wheels.glob("django-*"))) as wheel:
            wheel.extractall(packages)
        self.assertEqual(self.checkout.run("demo"), (2, "django demo\n", ""))

    def test_it_does_not_delete_an_environment_that_somebody_else_made(self) -> None:
        self.checkout.venv.mkdir()
        (self.checkout.venv / "precious").touch()
        self.assertRefused(self.checkout.run("demo"), "was not made by Bourse")
        self.assertTrue((self.checkout.venv / "precious").exists())

    def test_it_leaves_an_active_environment_alone(self) -> None:
        active = self.checkout.folder.parent / "active"
        subprocess.run([OUTER_PYTHON, "-m", "venv", "--without-pip", active], check=True)
        result = self.checkout.run("demo", python=str(active / "bin" / "python"))
        self.assertRefused(result, f"Django is missing from the Python environment {active}")
        self.assertFalse(self.checkout.venv.exists())

    def test_it_can_be_switched_off(self) -> None:
        self.checkout.run("demo", BOURSE_BOOTSTRAP="off")
        self.assertFalse(self.checkout.venv.exists())


class RefusalTests(BootstrapTestCase):
    """What goes wrong says so in one line, and the next run starts from nothing."""

    def test_it_refuses_a_file_with_another_hash(self) -> None:
        self.checkout.lock("1.0", hashed="sha256:" + "0" * 64)
        self.assertRefused(self.checkout.run("demo"), "THESE PACKAGES DO NOT MATCH THE HASHES")
        self.checkout.lock("1.0")
        self.assertEqual(self.checkout.run("demo")[1], "django demo\n")

    def test_it_says_that_the_network_is_missing(self) -> None:
        nowhere = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
        result = self.checkout.run("demo", PIP_RETRIES="1", **nowhere)
        self.assertRefused(result, "Is the network there?")

    def test_it_says_that_the_folder_cannot_be_written(self) -> None:
        self.checkout.venv.write_text("a file in the way")
        self.assertRefused(self.checkout.run("demo"), f"cannot make {self.checkout.venv}: Not a directory")

    def test_it_says_that_the_lock_is_damaged(self) -> None:
        (self.checkout.folder / "Pipfile.lock").write_text('{"default": {"django": {}}}')
        self.assertRefused(self.checkout.run("demo"), "cannot read")

    def test_it_says_that_the_lock_is_missing(self) -> None:
        (self.checkout.folder / "Pipfile.lock").unlink()
        self.assertRefused(self.checkout.run("demo"), "No such file")

    def test_it_says_that_pip_is_missing(self) -> None:
        with (
            mock.patch.object(bootstrap, "has_module", return_value=False),
            self.assertRaisesMessage(bootstrap.BootstrapError, "sudo apt install python3-pip"),
        ):
            bootstrap.Environment(self.checkout.folder).ready(dev=False)
        self.assertFalse(self.checkout.venv.exists())

    def test_it_says_that_python_is_too_old(self) -> None:
        source = (ROOT / "manage.py").read_text()
        # An old Python reads the whole file before it runs a line of it.
        program = compile(ast.parse(source, feature_version=(3, 7)), "manage.py", "exec")
        with (
            mock.patch.object(sys, "version_info", (3, 9, 2)),
            self.assertRaises(SystemExit) as refusal,
        ):
            exec(program, {"__name__": "__main__"})
        self.assertEqual(refusal.exception.code, "Bourse needs Python 3.11 or newer; this is Python 3.9.")


class RequirementsTests(SimpleTestCase):
    def test_every_locked_package_has_a_version_and_a_hash(self) -> None:
        lines = bootstrap.read_requirements(ROOT / "Pipfile.lock", dev=True)
        self.assertGreater(len(lines), 50)
        rivals = bootstrap.read_requirements(ROOT / "Pipfile.lock", group="bench-packages")
        self.assertIn("lightmatchingengine", " ".join(rivals))
        lines += rivals
        for line in lines:
            self.assertRegex(line, r"^[\w.-]+(\[[\w,-]+\])?==[\w.]+( ; .+)? --hash=sha256:[0-9a-f]{64}")

    def test_the_lock_names_no_source(self) -> None:
        self.assertEqual(json.loads((ROOT / "Pipfile.lock").read_text())["_meta"]["sources"], [])

    def test_the_lock_holds_what_its_packages_ask_for_on_every_python(self) -> None:
        # A lock made on one Python lacks what only another needs: redis wants async-timeout before 3.11.3.
        packages = json.loads((ROOT / "Pipfile.lock").read_text())["default"]
        missing = [
            f"{name} asks for {line}"
            for name, lines in requirements_of(packages).items()
            for line in lines
            if canonicalize_name(Requirement(line).name) not in packages
            and any(applies(Requirement(line), place) for place in places(packages[name].get("extras", [])))
        ]
        self.assertEqual(missing, [])

    def test_what_the_benchmarks_compare_with_leaves_the_other_packages_as_they_are(self) -> None:
        lock = json.loads((ROOT / "Pipfile.lock").read_text())
        versions = {name: entry["version"] for name, entry in {**lock["develop"], **lock["default"]}.items()}
        for name, entry in lock["bench-packages"].items():
            self.assertEqual(entry["version"], versions.get(name, entry["version"]), name)

    def test_it_keeps_extras_and_markers(self) -> None:
        entry = {"version": "==1.2", "hashes": ["sha256:ab"], "extras": ["tls"], "markers": "os_name == 'nt'"}
        self.assertEqual(
            bootstrap.requirement("twisted", entry), "twisted[tls]==1.2 ; os_name == 'nt' --hash=sha256:ab"
        )


def requirements_of(packages: Iterable[str]) -> dict[str, list[str]]:
    """What each of these packages says it needs, as installed here."""
    installed = {
        canonicalize_name(found.metadata["Name"]): found.requires for found in metadata.distributions()
    }
    return {name: installed.get(canonicalize_name(name)) or [] for name in packages}


def places(extras: list[str]) -> list[dict[str, str]]:
    """The environments that the lock serves, as requirement markers see them."""
    return [
        {
            "python_full_version": version,
            "python_version": version.rpartition(".")[0],
            "sys_platform": platform,
        }
        | {"platform_system": platform.title(), "implementation_name": "cpython", "extra": extra}
        for version in ("3.11.0", "3.11.2", "3.11.9", "3.12.0", "3.13.0")
        for platform in ("linux", "darwin")
        for extra in ("", *extras)
    ]


def applies(requirement: Requirement, place: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(place)
