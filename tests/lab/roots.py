"""Root filesystems for the lab, built once by debootstrap and kept in the cache.

Layout of the cache, ${XDG_CACHE_HOME:-~/.cache}/sshd-keepalive-lab:
    id_ed25519, id_ed25519.pub   the client key that every account of every host accepts
    KIND-DIGEST/                 a finished root; the digest changes with its recipe
    KIND-DIGEST.part/            one being built; renamed when it is complete
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from .recipes import ACCOUNTS_SCRIPT, ALWAYS, PASSWORD, Recipe, digest, recipe_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sshd-keepalive-lab"
IDENTITY_FILE = CACHE / "id_ed25519"
KEEP_S = 24 * 3600
MIRROR_VARIABLE = "KEEPALIVE_LAB_MIRROR"


class LabUnavailable(Exception):
    """The lab cannot run here; the message says what is missing."""


def root_path(kind: str) -> Path:
    """Give the place of a kind's finished root, whether it exists or not.

    Raises:
        LabUnavailable: the client key was never made, so no root was built either.
    """
    public_key = IDENTITY_FILE.with_suffix(".pub")
    if not public_key.exists():
        raise LabUnavailable("the lab's root filesystems are not built: run `python -m tests.lab build` as root")
    return CACHE / f"{kind}-{digest(kind, public_key.read_text())}"


def ensure(kinds: Iterable[str], *, say: Callable[[str], None]) -> None:
    """Build the roots that are missing, two at a time; needs root, debootstrap and the network.

    Builders of the same cache wait for each other. `say` gets one line for each root that is begun.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / "lock"):
        _make_identity()
        missing = {name for kind in kinds for name in _with_bases(kind) if not root_path(name).exists()}
        with ThreadPoolExecutor(max_workers=2) as pool:
            for _, wave in groupby(sorted(missing, key=_depth), key=_depth):
                list(pool.map(lambda kind: _build(kind, say), list(wave)))


def _with_bases(kind: str) -> tuple[str, ...]:
    """Give a kind and what it is built upon."""
    base = recipe_of(kind).base
    return (kind, *_with_bases(base)) if base else (kind,)


def _depth(kind: str) -> int:
    return len(_with_bases(kind))


def debian_mirror() -> str:
    """Give the address this machine's own apt takes Debian from.

    Both formats of sources.list(5) are read. The first entry whose suite is the running release wins.
    """
    if mirror := os.environ.get(MIRROR_VARIABLE):
        return mirror
    suites = {_codename(), "stable", "testing", "unstable", "sid"}
    for uri, suite in _apt_sources():
        if suite in suites:
            return uri
    raise LabUnavailable(f"no Debian mirror among this machine's apt sources (set {MIRROR_VARIABLE})")


def _build(kind: str, say: Callable[[str], None]) -> None:
    target = root_path(kind)
    if target.exists():
        return
    recipe = recipe_of(kind)
    part = target.with_suffix(".part")
    log = CACHE / f"{kind}.log"
    shutil.rmtree(part, ignore_errors=True)
    say(f"building the {kind} root ({recipe.base or recipe.suite}), log in {log}")
    with log.open("w") as output:
        try:
            _fill(recipe, part, output.fileno())
        except subprocess.CalledProcessError as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise LabUnavailable(
                f"building the {kind} root failed: {error.cmd[0]} exited {error.returncode}\n{tail}"
            ) from error
    part.rename(target)
    for old in CACHE.glob(f"{kind}-*"):
        if old != target and time.time() - old.stat().st_mtime > KEEP_S:
            shutil.rmtree(old, ignore_errors=True)


def mark_used(kind: str) -> None:
    """Note that a root is booted now: an outdated one is removed only when nobody has used it for a day."""
    os.utime(root_path(kind))


def _fill(recipe: Recipe, root: Path, log: int) -> None:
    if recipe.base:
        _run(log, "cp", "-a", "--reflink=auto", str(root_path(recipe.base)), str(root))
        if recipe.packages:
            _add_packages(recipe, root, log)
    else:
        packages = ",".join((*recipe.packages, *ALWAYS))
        options = [f"--include={packages}", *(f"--exclude={name}" for name in [",".join(recipe.exclude)] if name)]
        _run(log, "debootstrap", "--variant=minbase", *options, recipe.suite, str(root), debian_mirror())
    public_key = IDENTITY_FILE.with_suffix(".pub").read_text().strip()
    _run(log, "chroot", str(root), "sh", "-s", PASSWORD, public_key, stdin=ACCOUNTS_SCRIPT)
    if recipe.finish:
        _run(log, "chroot", str(root), "sh", "-ec", recipe.finish)


def _add_packages(recipe: Recipe, root: Path, log: int) -> None:
    """Let this machine's apt, with its proxies and certificates, install into `root`; no service is started."""
    source = root / "etc/apt/sources.list"
    source.write_text(f"deb {debian_mirror()} {recipe.suite} main\n")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    places = {
        "Dir::State": root / "var/lib/apt",
        "Dir::State::status": root / "var/lib/dpkg/status",
        "Dir::Cache": root / "var/cache/apt",
        "Dir::Log": root / "var/log/apt",
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "DPkg::Chroot-Directory": root,
        "Acquire::Check-Valid-Until": "false",  # a mirror's snapshot of unstable is soon a week old
    }
    apt = ["apt-get", "-q", "-y", *(f"-o{name}={place}" for name, place in places.items())]
    _run(log, *apt, "update")
    # A package that takes the place of sysv-rc removes an essential one: apt asks, this is the answer.
    _run(log, *apt, "--no-install-recommends", "--allow-remove-essential", "install", *recipe.packages)
    policy.unlink()


def _run(log: int, *command: str, stdin: Path | None = None) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with (stdin or Path(os.devnull)).open() as source:
        subprocess.run(command, check=True, stdin=source, stdout=log, stderr=log, env=env)


def _make_identity() -> None:
    if not IDENTITY_FILE.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sshd-keepalive lab", "-f", str(IDENTITY_FILE)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    return ""


def _apt_sources() -> Iterator[tuple[str, str]]:
    """Yield (URI, suite) for every binary source with the component main."""
    folder = Path("/etc/apt")
    for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        for line in path.read_text().splitlines() if path.exists() else ():
            words = [
                word for word in line.partition("#")[0].split() if not word.startswith("[") and not word.endswith("]")
            ]
            if words[:1] == ["deb"] and "main" in words[3:]:
                yield words[1], words[2]
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        for paragraph in path.read_text().split("\n\n"):
            lines = (line for line in paragraph.splitlines() if not line.startswith(("#", " ")))
            fields = {name.strip().lower(): value.split() for name, _, value in (line.partition(":") for line in lines)}
            if "deb" in fields.get("types", ()) and "main" in fields.get("components", ()):
                yield from ((uri, suite) for uri in fields.get("uris", ()) for suite in fields.get("suites", ()))
