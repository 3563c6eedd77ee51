"""Says in plain words what on this machine would stop `make run` or `make test`, and the remedy.

It runs before there is an environment, on any Python from 3.8 on, with nothing but the standard library.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

if sys.platform != "win32":
    import pwd

ROOT = Path(__file__).resolve().parents[1]

# The embedded PostgreSQL is a wheel for these: CPython, glibc or macOS, and these processors.
NEWEST_PYTHON = (3, 14)
OLDEST_GLIBC = (2, 27)
OLDEST_NODE = 20
PROCESSORS = {"x86_64", "amd64", "aarch64", "arm64"}

GIB = 2**30
STEPS = ("run", "test")


class Report:
    """What was found, printed as it is found."""

    def __init__(self) -> None:
        self.stopped: dict[str, int] = {"run": 0, "test": 0}

    def fine(self, text: str) -> None:
        self._print("ok  ", text)

    def note(self, text: str) -> None:
        self._print("note", text)

    def stop(self, problem: str, remedy: str, *stopped: str) -> None:
        """`stopped` names what cannot work: run, test, or with nothing said both."""
        self._print("STOP", f"{problem}\n      {remedy}")
        for step in stopped or STEPS:
            self.stopped[step] += 1

    @staticmethod
    def _print(mark: str, text: str) -> None:
        print(f"{mark}  {text}")


def main() -> int:
    report = Report()
    settings = _settings()
    check_platform(report)
    check_python(report)
    check_places(report)
    brings_database = bool(settings.get("DATABASE_URL"))
    if brings_database:
        check_database("DATABASE_URL", settings["DATABASE_URL"], "run", report)
    check_port(settings, report)
    check_node(report)
    tests_embedded = check_test_database(report)
    embedded = [step for step, needed in (("run", not brings_database), ("test", tests_embedded)) if needed]
    if embedded:
        check_account(embedded, report)
    stopped = [f"make {step}" for step in STEPS if report.stopped[step]]
    if stopped:
        print(f"\nAs it is, {' and '.join(stopped)} will not work.")
        return 1
    print("\nNothing here stops make run or make test.")
    return 0


def _settings() -> dict[str, str]:
    """What the service would read: the environment, and before it the file .env."""
    settings = {}
    if (ROOT / ".env").exists():
        for line in (ROOT / ".env").read_text("utf-8", "replace").splitlines():
            name, separator, value = line.partition("=")
            if separator and not name.lstrip().startswith("#"):
                settings[name.replace("export ", "").strip().upper()] = value.strip().strip("'\"")
    settings.update({name.upper(): value for name, value in os.environ.items() if value})
    return settings


# --- the machine ----------------------------------------------------------------------------------


def check_platform(report: Report) -> None:
    system, processor = platform.system(), platform.machine()
    name = f"{system} on {processor}"
    if system not in {"Linux", "Darwin"}:
        report.stop(f"{name} is not supported.", "Use Linux, macOS, or WSL on Windows.")
    elif processor.lower() not in PROCESSORS:
        report.stop(f"There is no embedded PostgreSQL for {name}.", "Use a machine with x86_64 or arm64.")
    elif system == "Linux":
        library, version = platform.libc_ver()
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if library != "glibc":
            report.stop(
                "This Linux has another C library than glibc (Alpine has musl).",
                "The embedded PostgreSQL is built for glibc: use Debian, Ubuntu, Fedora or their like.",
            )
        elif numbers < OLDEST_GLIBC:
            report.stop(f"glibc {version} is too old.", "The embedded PostgreSQL needs 2.27 or newer.")
        else:
            report.fine(f"{name} with glibc {version}")
    else:
        report.fine(name)


def check_python(report: Report) -> None:
    found = _find_python()
    if found is None:
        report.stop(
            "No Python 3.12 or newer is on PATH.",
            "Debian 13, Ubuntu 24.04: apt install python3 python3-venv; macOS: brew install python@3.13;\n"
            "      pyenv: pyenv install 3.13; or name one: make PYTHON=/path/to/python3",
        )
        return
    name, version = found
    number = f"{version[0]}.{version[1]}"
    if version > NEWEST_PYTHON:
        report.stop(
            f"Python {number} ({name}) is newer than the embedded PostgreSQL's wheels.",
            "Install Python 3.13 beside it.",
        )
    elif shutil.which("uv"):
        report.fine(f"Python {number} ({name}), and uv")
    elif subprocess.run([name, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode:
        report.stop(
            f"Python {number} ({name}) cannot make environments: its module venv or ensurepip is missing.",
            f"Debian, Ubuntu: apt install python{number}-venv; or install uv.",
        )
    else:
        report.fine(f"Python {number} ({name})")


def check_node(report: Report) -> None:
    """Only `make test-providers` needs it, so nothing is stopped."""
    remedy = "make test-providers needs it (Debian: apt install nodejs npm; macOS: brew install node)."
    if not shutil.which("node") or not shutil.which("npm"):
        report.note(f"There is no Node with npm: {remedy}")
        return
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    major = done.stdout.strip().lstrip("v").partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST_NODE:
        report.note(f"Node {done.stdout.strip()} is older than {OLDEST_NODE}: {remedy}")
    else:
        report.fine(f"Node {done.stdout.strip().lstrip('v')}")


def _find_python() -> tuple[str, tuple[int, int]] | None:
    wanted = (ROOT / ".python-version").read_text().strip()
    names = (os.environ.get("PYTHON"), f"python{wanted}", "python3.13", "python3.14", "python3.12", "python3")
    for name in filter(None, names):
        version = _version(name)
        if version is not None and version >= (3, 12):
            return name, version
    return None


def _version(name: str) -> tuple[int, int] | None:
    command = [name, "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError):  # not there, or pyenv's placeholder for one that is not there
        return None


def check_places(report: Report) -> None:
    installed = (ROOT / ".venv" / ".complete").exists()
    cache = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for place, what, remedy in (
        (ROOT, "this folder", "Give yourself the folder: chown -R $USER ."),
        (
            Path(tempfile.gettempdir()),
            "the folder for temporary files",
            "Name another one: TMPDIR=/path make run",
        ),
        (cache, "the folder for downloaded packages", "Name another one: UV_CACHE_DIR=/path make run"),
    ):
        existing = next(path for path in (place, *place.parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            report.stop(f"You may not write to {existing}, {what}.", remedy)
    if os.access(ROOT, os.W_OK) and not _keeps_permissions(ROOT):
        report.stop(
            f"The file system of {ROOT} does not keep permissions, which PostgreSQL insists on.",
            "On WSL clone into your Linux home folder, not under /mnt; or set DATABASE_URL.",
        )
    if set(str(ROOT)) & set('"\\$`'):
        report.stop(
            f"The path {ROOT} contains one of \" \\ $ `, which PostgreSQL's programs stumble over.",
            "Move the folder, or set DATABASE_URL (and for the tests TEST_POSTGRES=container).",
        )
    free, needed = shutil.disk_usage(ROOT).free, GIB if installed else 2 * GIB
    if free < needed:
        report.stop(
            f"{free / GIB:.1f} GiB are free on the disk, and {needed // GIB} GiB are needed.",
            "Make room there.",
        )
    else:
        report.fine(f"{free / GIB:.0f} GiB free on the disk")
    if not installed:
        report.note("The environment is not made yet: the first make downloads about 150 MB of packages.")


def _keeps_permissions(folder: Path) -> bool:
    probe = Path(tempfile.mkdtemp(prefix=".doctor-", dir=str(folder)))
    try:
        probe.chmod(0o700)
        return probe.stat().st_mode & 0o777 == 0o700
    finally:
        probe.rmdir()


# --- the addresses --------------------------------------------------------------------------------


def _default_port() -> str:
    own = re.search(r"(?m)^port = (\d+)$", (ROOT / "pyproject.toml").read_text("utf-8"))
    return own.group(1) if own else "8000"


def check_port(settings: dict[str, str], report: Report) -> None:
    host, text = settings.get("HOST", "127.0.0.1"), settings.get("PORT", _default_port())
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        report.stop(f"PORT is {text!r}.", "Use a number from 1 to 65535: PORT=8000 make run", "run")
        return
    port = int(text)
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        remedy = f"End the program that uses it, or use another port: PORT={port % 65535 + 1} make run"
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            remedy = "Use an address of this machine: HOST=127.0.0.1 make run"
        report.stop(f"Port {port} on {host} cannot be used: {error.strerror}.", remedy, "run")
    else:
        report.fine(f"port {port} on {host} is free")


def check_database(variable: str, url: str, step: str, report: Report) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 5432
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if not parts.scheme.startswith("postgres"):
        remedy = (
            "Write it as postgresql://user:password@localhost:5432/name, or unset it for the embedded one."
        )
        report.stop(f"{variable} is not the address of a PostgreSQL.", remedy, step)
        return
    if not host:
        report.note(f"{variable} names a socket, which is not tried here.")
        return
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        remedy = f"Start that server, or unset {variable} for the embedded one."
        report.stop(f"{variable}: nothing answers at {host}:{port} ({error}).", remedy, step)
    else:
        report.fine(f"{variable}: a server listens at {host}:{port}")


# --- PostgreSQL -----------------------------------------------------------------------------------


def check_test_database(report: Report) -> bool:
    """Says what `make test` will use. True if that is the embedded PostgreSQL."""
    choice = os.environ.get("TEST_POSTGRES") or "auto"
    image = os.environ.get("TEST_POSTGRES_IMAGE") or "postgres:18-alpine"
    if choice == "url":
        check_database("TEST_POSTGRES_URL", os.environ.get("TEST_POSTGRES_URL", ""), "test", report)
        return False
    if choice == "embedded":
        report.fine("make test uses the embedded PostgreSQL, as TEST_POSTGRES says")
        return True
    if choice not in {"auto", "container"}:
        remedy = "Use auto, container, embedded or url."
        report.stop(f"TEST_POSTGRES is {choice!r}.", remedy, "test")
        return False
    why_not = _no_engine()
    if why_not is None and _has_image(image):
        report.fine(f"a Docker engine answers: make test runs {image} in a container")
    elif why_not is None:
        report.note(f"A Docker engine answers, without {image}: make test pulls it.")
    elif choice == "container":
        report.stop(
            f"TEST_POSTGRES=container, but {why_not}", "Start Docker, or unset TEST_POSTGRES.", "test"
        )
    else:
        report.note(f"make test uses the embedded PostgreSQL, as {why_not}")
        return True
    return False


def _no_engine() -> str | None:
    if shutil.which("docker"):
        problem = _docker("version", "--format", "{{.Server.Version}}")
        if problem and "permission denied" in problem.lower():
            return (
                "you may not speak to the Docker engine: add yourself to the group docker and log in again."
            )
        return f"no Docker engine answers ({problem.splitlines()[0][:120]})." if problem else None
    address = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    try:
        if address.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as knock:
                knock.settimeout(3)
                knock.connect(address.path)
        else:
            socket.create_connection(
                (address.hostname or "localhost", address.port or 2375), timeout=3
            ).close()
    except (OSError, ValueError) as error:
        return f"there is no Docker engine here ({error})."
    return None


def _has_image(image: str) -> bool:
    return bool(shutil.which("docker")) and not _docker("image", "inspect", image)


def _docker(*arguments: str) -> str:
    """What went wrong, or nothing."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=15)
    except subprocess.TimeoutExpired:
        return "it takes longer than 15 seconds"
    return (done.stderr.strip() or "it failed") if done.returncode else ""


def check_account(steps: list[str], report: Report) -> None:
    """PostgreSQL runs as a named user other than root."""
    if sys.platform == "win32":
        return
    uid = os.geteuid()
    if uid != 0:
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            remedy = "Run as a user of this system (in a container: one of /etc/passwd), or set DATABASE_URL."
            report.stop(f"The user number {uid} has no name here, and PostgreSQL wants one.", remedy, *steps)
        else:
            report.fine(f"PostgreSQL can run as you, {name}")
        return
    try:
        pwd.getpwnam("nobody")
    except KeyError:
        remedy = "Add that user (useradd --system nobody), or work as an ordinary user."
        report.stop("You are root, and there is no user nobody for PostgreSQL.", remedy, *steps)
    else:
        report.note(
            "You are root: the embedded PostgreSQL runs as nobody, who has to pass through these folders."
        )


if __name__ == "__main__":
    sys.exit(main())
