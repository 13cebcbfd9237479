"""Build the artefacts of a release and test them: called by `make dist`, `make test-wheel` and `make matrix`.

Every session gets an environment of its own from uv. An interpreter that is missing is skipped with the reason.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
PYZ = DIST / "sshd-keepalive.pyz"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PLAIN = ("-q", "-n", "2", "-m", "not sshd and not lab and not readers and not fuzz")
CONSTRAINTS = ("-c", str(ROOT / "constraints.txt"))
#: Tests of the command line: they need the program, not its sources.
AWAY = ("-q", "-n", "2", "-m", "not lab and not readers and not fuzz")
#: Those of them that start the program as a process and never by its module's name.
STARTED = tuple(f"tests/cli/test_{name}.py" for name in ("usage", "why", "config", "diagnose", "client_config"))
TEST_TOOLS = ("pytest", "pytest-xdist", "pytest-timeout", "hypothesis", "mock-ssh-server")
TEST_TOOLS += ("jsonschema", "lxml", "aiosmtpd")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Plain tests on every supported Python, with the newest dependencies."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *PLAIN, *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Plain tests with the lowest versions that pyproject.toml allows."""
    session.install("--resolution", "lowest-direct", "-e", ".[dev]")
    session.run("python", "-m", "pytest", *PLAIN, *session.posargs)


@nox.session(python=PYTHONS[0])
def dist(session: nox.Session) -> None:
    """Build sdist and wheel twice, compare the bytes, check them, build the single file and the SBOM."""
    session.install("build", "twine", "check-wheel-contents", "shiv")
    shutil.rmtree(DIST, ignore_errors=True)
    again = Path(session.create_tmp()) / "again"
    shutil.rmtree(again, ignore_errors=True)
    clock = {"SOURCE_DATE_EPOCH": _epoch(), "PYTHONHASHSEED": "0"}
    for folder in (DIST, again):
        session.run("python", "-m", "build", "--outdir", str(folder), env=clock, silent=True)
    _compare(session, DIST, again)
    session.run("twine", "check", "--strict", *map(str, sorted(DIST.iterdir())))
    wheel = _wheel()
    session.run("check-wheel-contents", str(wheel))
    _compare_with_git(session)
    _check_links(session, wheel)
    for folder in (DIST, again):
        _build_pyz(session, wheel, folder / PYZ.name, clock)
    _compare(session, DIST, again)
    _write_sbom(session, wheel)
    for path in sorted(DIST.iterdir()):
        session.log(f"{path.stat().st_size:>12,} {path.name}")


@nox.session(python=PYTHONS[0])
def wheel(session: nox.Session) -> None:
    """Install the wheel without the sources; run the demo and the tests of the command line against it."""
    session.install(*CONSTRAINTS, f"{_wheel()}[reports,postgres,notify]", *TEST_TOOLS)
    folder = _away(session)
    with session.chdir(folder):
        session.run("python", "-c", "import sshd_keepalive; assert 'site-packages' in sshd_keepalive.__file__")
        session.run("sshd-keepalive", "--version")
        session.run("man", "--where", "sshd-keepalive", "sshd-keepalive-apply", external=True)
        session.run("sshd-keepalive", "demo")
        session.run("python", "-m", "pytest", *AWAY, "tests/cli")


@nox.session(python=PYTHONS[0])
def light(session: nox.Session) -> None:
    """Install the wheel without an extra; run the demo and the tests of what it does then."""
    session.install(*CONSTRAINTS, str(_wheel()), "pytest", "pytest-timeout")
    with session.chdir(_away(session)):
        session.run("sshd-keepalive", "demo")
        session.run("python", "-m", "pytest", "-q", "tests/cli/test_light.py")


@nox.session(python=PYTHONS[0])
def pyz(session: nox.Session) -> None:
    """Run the single file where nothing is installed; run the demo and most tests of the command line."""
    clean = {"SHIV_ROOT": str(Path(session.create_tmp()).resolve() / "shiv")}
    shutil.rmtree(clean["SHIV_ROOT"], ignore_errors=True)
    bare = [session.bin + "/python", "-I", str(PYZ)]
    session.run(*bare, "--version", env=clean)
    session.run(*bare, "demo", env=clean)
    # Only the test tools are installed. Tests in this process import what the single file has unpacked.
    session.install(*CONSTRAINTS, *TEST_TOOLS)
    (unpacked,) = Path(clean["SHIV_ROOT"]).glob("*/site-packages")
    program = {**clean, "TESTED_PROGRAM": str(PYZ), "PYTHONPATH": str(unpacked)}
    with session.chdir(_away(session)):
        session.run("python", "-m", "pytest", *AWAY, *STARTED, env=program)


@nox.session(python=PYTHONS[0])
def wheelhouse(session: nox.Session) -> None:
    """Collect what an installation without a package index needs, with hashes, and install from it."""
    folder = DIST / "wheelhouse"
    shutil.rmtree(folder, ignore_errors=True)
    locked = ("--quiet", "--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock")
    session.install("pip")
    session.run("python", "-m", "pip", "download", *locked, "--dest", str(folder))
    for path in (_wheel(), ROOT / "requirements.lock"):
        shutil.copy(path, folder)
    place = Path(session.create_tmp()).resolve() / "offline"
    shutil.rmtree(place, ignore_errors=True)
    session.run("python", "-m", "venv", str(place))
    pip = (str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--no-index")
    with session.chdir(folder):
        session.run(*pip, "--find-links", ".", "--require-hashes", "-r", "requirements.lock", external=True)
        session.run(*pip, "--no-deps", _wheel().name, external=True)
    session.run(str(place / "bin/sshd-keepalive"), "--version", external=True)
    session.log("on the controller, in this directory and in an activated environment:")
    session.log("pip install --no-index --find-links . --require-hashes -r requirements.lock")
    session.log(f"pip install --no-index --no-deps {_wheel().name}")


def _epoch() -> str:
    """Give the time of the last commit, in seconds: the time stamp of everything that is built."""
    shown = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def _wheel() -> Path:
    """Give the wheel that `dist` built."""
    found = sorted(DIST.glob("*.whl"))
    if len(found) != 1:
        sys.exit("dist/ holds no wheel, or several: run `make dist` first")
    return found[0]


def _compare(session: nox.Session, one: Path, other: Path) -> None:
    """Stop the session unless both directories hold the same files with the same bytes."""
    for path in sorted(one.iterdir()):
        digests = {hashlib.sha256((folder / path.name).read_bytes()).hexdigest() for folder in (one, other)}
        if len(digests) != 1:
            session.error(f"{path.name} differs between two builds of the same sources")
        session.log(f"{digests.pop()}  {path.name}")


def _compare_with_git(session: nox.Session) -> None:
    """Stop the session unless the sdist, of which `build` makes the wheel, holds what git does: no cache, no gap."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (path,) = DIST.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()} - {"PKG-INFO"}
    if differs := packed ^ set(listed.stdout.splitlines()):
        session.error(f"only in git or only in {path.name}: {sorted(differs)}")
    session.log(f"{path.name} holds the {len(packed)} files of git")


def _check_links(session: nox.Session, wheel: Path) -> None:
    """Stop the session where a link of the description leads nowhere on a package index."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        description = archive.read(name).decode().partition("\n\n")[2]
    links = re.findall(r"\]\(([^)]+)\)", description)
    if relative := [link for link in links if not link.startswith(("https:", "#"))]:
        session.error(f"the description has relative links: {relative}")
    session.log(f"{len(links)} links of the description are absolute")


def _build_pyz(session: nox.Session, wheel: Path, path: Path, clock: dict[str, str]) -> None:
    """Build the program with everything it needs, compiled parts of this platform included, as one file."""
    session.run(
        "shiv", "--reproducible", "--compressed", "--no-modify", "-c", "sshd-keepalive", "-p", "/usr/bin/env python3",
        "-o", str(path), f"{wheel}[history,reports]", env={**clock, "PIP_CONSTRAINT": CONSTRAINTS[1]}, silent=True,
    )  # fmt: skip


def _write_sbom(session: nox.Session, wheel: Path) -> None:
    """Write what the wheel brings along, as CycloneDX 1.6."""
    place = Path(session.create_tmp()) / "sbom"
    shutil.rmtree(place, ignore_errors=True)
    session.run("uv", "venv", "-q", str(place), external=True)
    python = str(place / "bin/python")
    session.run(
        "uv", "pip", "install", "-q", "--python", python, *CONSTRAINTS, f"{wheel}[history,reports]", external=True
    )
    session.install("cyclonedx-bom")
    session.run(
        "cyclonedx-py", "environment", python, "--pyproject", "pyproject.toml", "--output-reproducible",
        "--spec-version", "1.6", "--of", "JSON", "-o", str(DIST / "sshd-keepalive.cdx.json"),
    )  # fmt: skip


def _away(session: nox.Session) -> Path:
    """Give a directory that holds the tests and what they read, but no sources of the program."""
    folder = Path(session.create_tmp()) / "away"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), ROOT / "inventory.example.yaml", ROOT / "pyproject.toml"):
        shutil.copy(path, folder)
    return folder
