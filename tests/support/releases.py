"""What we say about an upgrade, held against the servers before and after it; every difference is a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

from sshd_keepalive.errors import ParseError
from sshd_keepalive.model import COUNT_MAX, INTERVAL, Context, Dump, Place
from sshd_keepalive.planning import as_if
from sshd_keepalive.planning.as_if import Difference, Effect
from sshd_keepalive.sshd_config import match, resolve
from sshd_keepalive.sshd_config.document import parse
from sshd_keepalive.sshd_config.reading import read
from sshd_keepalive.sshd_config.tree import build_from_files
from sshd_keepalive.sshd_config.version import Build, Version
from tests.support import readings
from tests.support.configs import Case, case
from tests.support.differential import BLANK, named_lines, snapshot_of
from tests.support.oracle import CONFIG_DIR, Oracle

#: Lines that releases from 8.4 on do not treat alike, and their neighbours that they do.
_LINES = (
    "ClientAliveInterval 300#x", "ClientAliveInterval +300", 'ClientAliveInterval "1h 30m"',
    "ClientAliveInterval 300s30",
    "ClientAliveInterval '300'", "ClientAliveInterval 300.5", "ClientAliveCountMax 3#x", "ClientAliveCountMax +3",
    "Match User=root", "Match User = root", "Match User root#x", "Match 'User' root", "Match User 'root'",
    "Match Version OpenSSH_*", "Match Invalid-User", "Match all#x", "Match Address 10.0.0.0/8#x", 'Match User root "x',
    "KbdInteractiveAuthentication no", "ChallengeResponseAuthentication no", "SkeyAuthentication no",
    "PubkeyAcceptedAlgorithms +ssh-rsa", "PubkeyAcceptedKeyTypes +ssh-rsa", "PubkeyAcceptedKeyTypes +ssh-dss",
    "HostKeyAlgorithms ssh-ed25519,ssh-dss", "HostKeyAlgorithms +ssh-dss", "HostKeyAlgorithms -ssh-dss",
    "Ciphers aes128-ctr,aes256-ctr", "Ciphers rijndael-cbc@lysator.liu.se,aes128-ctr", "MACs hmac-sha2-256",
    "KexAlgorithms curve25519-sha256,sntrup761x25519-sha512@openssh.com", "KexAlgorithms +mlkem768x25519-sha256",
    "KexAlgorithms sntrup4591761x25519-sha512@tinyssh.org,curve25519-sha256", "CASignatureAlgorithms ssh-ed25519",
    "HostbasedAcceptedAlgorithms ssh-ed25519", "MaxStartups 10:30:60", "MaxStartups 5", "MaxStartups 7:50:70",
    "PerSourceMaxStartups 3", "PerSourceMaxStartups 5", "PerSourceNetBlockSize 24:48", "IPQoS lowdelay throughput",
    "IPQoS af21 cs1", "IPQoS cs2", "RequiredRSASize 2048", "ChannelTimeout session=30m", "UnusedConnectionTimeout 5m",
    "UnusedConnectionTimeout +300", "UnusedConnectionTimeout none", "LoginGraceTime +60", 'LoginGraceTime "1m 30s"',
    "LoginGraceTime 2m", "PAMAuthenticationViaKbdInt no", "GSSAPIKeyExchange no", "GSSAPIAuthentication no",
    "GSSAPIStrictAcceptorCheck no", "GSSAPIDelegateCredentials no", "DebianBanner no", "LogVerbose kex.c:*:1000",
    "LogLevel VERBOSE", "SyslogFacility AUTH", "Subsystem sftp internal-sftp", "PerSourcePenalties no",
    "RefuseConnection no", "ModuliFile /etc/ssh/moduli", "X11Forwarding no#x", "X11Forwarding no # x",
    "ForceCommand echo 'a' # b", "ForceCommand echo a", "Banner '/etc/issue'", "Banner /etc/issue#a",
    "AllowUsers 'root'",
    "MaxSessions 10#n", "MaxAuthTries +4", "AuthorizedKeysCommand /usr/bin/true # c", "AuthorizedKeysCommandUser root",
    "SetEnv A=b#c", "SetEnv A='b'", "SetEnv A=b", "VersionAddendum x#y", "VersionAddendum 'x'", "PermitListen 8080",
    "ExposeAuthInfo yes", "IgnoreRhosts yes", "UseLogin no", "PubkeyAuthOptions none", "AuthorizedKeysFile 'a' b",
    "AcceptEnv LANG=LC_ALL", "DenyUsers mallory=eve", "PermitUserEnvironment no", "StreamLocalBindMask 0177",
)  # fmt: skip
_KEYS = (INTERVAL, COUNT_MAX)
#: Printed in other words by some releases, or printed though no line sets them so.
_PRINTED_OTHERWISE = {
    "true": "yes", "false": "no", "prohibit-password": "without-password",
}  # fmt: skip
_CHANGED_DEFAULT = re.compile(rb"(?i)(algorithms|keytypes|ciphers|macs)\W+[-+^]")
#: Structure, and what some releases print in a form of their own.
_OTHERWISE = ("match", "include", "persourcepenalties")
_WARNING = re.compile(r".* line \d+: (?:Deprecated|Unsupported) option .*\n?")
_NOT_THE_FILE = "not in connection test specification"


def tree(seed: int) -> Case:
    """Make the tree of a seed, with a few of the lines above among its own."""
    random = Random(seed)
    made = case(seed, f"{CONFIG_DIR}/c{seed}", relative_to=CONFIG_DIR)
    made.options = ()
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        name = random.choice([made.main, made.main, *made.files])
        lines = made.files[name].split(b"\n")
        lines.insert(random.randint(0, len(lines) - 1), random.choice(_LINES).encode())
        made.files[name] = b"\n".join(lines)
    return made


def differences(
    oracles: Mapping[str, Oracle], builds: Mapping[str, Build], seed: int, used: dict[tuple[str, str], int]
) -> list[str]:
    """Compare all pairs of releases for one tree; counts the trees that the release before the upgrade takes."""
    made = tree(seed)
    contexts = [BLANK, match.STRANGER, replace(made.contexts[1], groups=None)]
    answers = {name: _ask(oracle, made, contexts) for name, oracle in oracles.items()}
    wrong: list[str] = []
    for now, before in answers.items():
        if any(dump.error for dump in before):
            continue
        for then in answers:
            if then != now:
                used[now, then] = used.get((now, then), 0) + 1
                text = _compare(made, oracles[now], oracles[then], builds[then], before, answers[then])
                wrong += [f"seed {seed}, {now} to {then}: {one}" for one in text]
    return wrong


def _ask(oracle: Oracle, made: Case, contexts: list[Context]) -> list[Dump]:
    oracle.write(made.files)
    try:
        dumps = oracle.ask(made.main, contexts)
    finally:
        oracle.remove(made.base)
    groups = {context.user: oracle.groups(context.user) for context in contexts if context.user}
    return [
        replace(dump, context=replace(dump.context, groups=groups.get(dump.context.user)))
        for dump in dumps
        if not (dump.error and _NOT_THE_FILE in dump.error)
    ]


def _compare(
    made: Case, now: Oracle, then: Oracle, build: Build, before: list[Dump], after: list[Dump]
) -> Iterator[str]:
    reading = read(snapshot_of(made, now.version, tuple(before)))
    try:
        reading.tree.events()
    except ParseError as error:
        if not any(b"\0" in content for content in made.files.values()):
            yield f"we refuse what the present server takes: {error}"
        return
    found = as_if.compare(reading, build)
    if unknown := [d for d in found if d.effect is Effect.UNKNOWN]:
        yield f"cannot tell {unknown}"
    refused = {d.place for d in found if d.effect is Effect.REFUSED}
    errors = [dump.error for dump in after if dump.error and not _has_crashed(dump.error)]
    if bool(refused) != bool(errors):
        yield f"we foresee {refused or 'no refusal'}, the server says {errors[:1] or 'nothing'}"
        return
    if errors:
        named = named_lines(_WARNING.sub("", errors[0]))
        has_nul = any(b"\0" in content for content in made.files.values())  # sshd counts glued lines as one
        if named and named[0] not in refused and not has_nul:
            yield f"we foresee {refused}, the server refuses {errors[0]}"
        if error := _error(then, _edited(made, {place: b"" for place in refused if place})):
            yield f"without {refused} the server still says {error}"
    else:
        yield from _same_values(made, reading.tree.version, build.version, found, before, after)
    yield from _instead(made, now, then, found, before)


def _same_values(
    made: Case, now: Version, version: Version, found: tuple[Difference, ...], before: list[Dump], after: list[Dump]
) -> Iterator[str]:
    ours = build_from_files(made.files, main=made.main, version=version)
    changed = [d for d in found if d.effect is Effect.CHANGED]
    lines = {
        (path, line.number): line.keyword
        for path, content in made.files.items()
        for line in parse(path, content, version=now).lines
    }
    told = {lines.get((d.place.path, d.place.line), "") for d in changed if d.place}
    for old, new in zip(before, after, strict=True):
        if new.error:
            continue
        effective = readings.resolve(ours, new.context)
        for keyword in _KEYS:
            theirs = new.find(keyword)
            if theirs != effective[keyword].value and not effective.undecided:
                yield f"{keyword} for {new.context}: the server says {theirs}, we {effective[keyword].value}"
            if old.find(keyword) != theirs and not changed:
                yield f"{keyword} for {new.context} changes and is not told"
        if told & {"match", "include"}:
            continue
        for keyword in _decided(made, version, new.context) - {*_KEYS, *told}:
            values = [
                [_PRINTED_OTHERWISE.get(value, value) for name, value in dump.settings if name == keyword]
                for dump in (old, new)
            ]
            if all(values) and values[0] != values[1]:
                yield f"{keyword} for {new.context} becomes {values[1]} from {values[0]}, and that is not told"


def _decided(made: Case, version: Version, context: Context) -> set[str]:
    """Keywords that some line decides for a connection, and not by changing the default of the release."""
    tree = build_from_files(made.files, main=made.main, version=version)
    layers = resolve.Layers(tree.events(), version, lambda block: match.is_met(block, context, version))
    decided = (next(layers.list_counting(keyword), None) for keyword in (*layers.everybody, *layers.connection))
    return {
        event.line.keyword
        for event in decided
        if event and event.line.keyword not in _OTHERWISE and not _CHANGED_DEFAULT.search(event.line.raw)
    }


def _instead(made: Case, now: Oracle, then: Oracle, found: tuple[Difference, ...], before: list[Dump]) -> Iterator[str]:
    """Write what we say should stand there: both servers take it, and the present one reads the same."""
    if not found or not all(d.instead is not None and d.place for d in found if d.effect is not Effect.BETTER):
        return
    edited = _edited(made, {d.place: d.instead for d in found if d.place and d.instead is not None})
    if error := _error(then, edited):
        yield f"the other server refuses {[d.instead for d in found]}: {error}"
    after = _ask(now, edited, [dump.context for dump in before])
    if after and after[0].error and not _has_crashed(after[0].error):
        yield f"the present server refuses {[d.instead for d in found]}: {after[0].error}"


def _error(oracle: Oracle, made: Case) -> str | None:
    errors = (dump.error for dump in _ask(oracle, made, [BLANK, match.STRANGER]))
    return next((error for error in errors if error and not _has_crashed(error)), None)


def _has_crashed(error: str) -> bool:
    """Whether sshd accepted the files and crashed: 9.5 to 10.2 cannot print a Subsystem that only a Match block has."""
    return _WARNING.sub("", error) == "Segmentation fault"


def _edited(made: Case, lines: Mapping[Place, bytes]) -> Case:
    files = dict(made.files)
    for place, text in lines.items():
        old = files[place.path].split(b"\n")
        old[place.line - 1] = text.rstrip(b"\r\n")
        files[place.path] = b"\n".join(old)
    return replace(made, files=files)
