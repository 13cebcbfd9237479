"""Random sshd_config trees, tricky on purpose: odd spelling, Match in every shape, Includes inside each other.

Everything comes from one `random.Random`, so a seed names a tree for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sshd_keepalive.model import Context, MatchOverrides, Policy, Strategy

USERS = ("root", "alice", "nobody", "sync")
GROUPS = ("root", "nogroup", "alice", "users")
HOSTS = ("h", "Gate.Example.org", "web1.example.org")
ADDRESSES = ("10.0.0.1", "10.1.2.3", "192.168.1.7", "2001:db8::1", "::ffff:10.0.0.1")
PORTS = (22, 2222)

_OTHERS = (
    "X11Forwarding yes", "x11forwarding no", "PasswordAuthentication no", "MaxAuthTries 4", "MaxSessions 2",
    "PermitTTY no", "AllowTcpForwarding local", "PermitRootLogin prohibit-password", "GatewayPorts clientspecified",
    "AcceptEnv LANG LC_*", "AllowUsers root alice", "DenyUsers mallory", "Banner none", "PermitEmptyPasswords no",
    "AllowAgentForwarding no", "allowstreamlocalforwarding remote", 'AuthorizedKeysFile ".ssh/keys"', "SetEnv A=b",
    "Banner /etc/issue.net", "ForceCommand echo hi # there", "PermitOpen any", "PubkeyAuthentication yes",
    "DisableForwarding yes",
)  # fmt: skip
_GLOBALS = (
    "Port 2200", "LoginGraceTime 2m", "UseDNS no", "TCPKeepAlive no", "PrintMotd no", "StrictModes yes",
    "Protocol 2", "UsePrivilegeSeparation yes", "AddressFamily any", "keepalive yes", "UsePAM yes",
)  # fmt: skip
_INTERVALS = (
    "0", "300", "5m", "60", "1h30m", "00300", "300s", "1d", "5m30s", "5M", "45", '"300"', '"5m"', "1w2D",
    "15", "600",
)  # fmt: skip
_COUNTS = ("0", "3", "1", "03", "+3", '"3"', "10", "5")
_BAD_INTERVALS = ("abc", "-1", "5min", "3e2", "1.5m", "2147483648", "99999999999999999999", "0x12c", "", "m", "300#x")
_ODD_INTERVALS = ("+300", "'300'", '3"00"', '"1h 30m"', "5m300", "300s30", "4294967596", "300 #x", "\\300", '"3 00"')
_BAD_COUNTS = ("-1", "3abc", "yes", "4294967299", "3 4", "0x3", "2147483648")
_JUNK = (
    "ClientAliveInterval", "ClientAliveInterval: 300", "'ClientAliveInterval' 300", "ClientAliveInterval = = 3",
    "ClientAliveInterval 300 400", "Match", "Match User", "Match all User root", "Match exec true", "Include",
    "Match LocalPort 22,23", "Match Address 10.0.0.1/8", "Match User root bob", "Match Address 10.0.0.0/40",
    "ClientAliveInterval 300 \\", 'ClientAliveInterval "300', "\x0c", "\u00a0ClientAliveInterval 300",
    "Match Nonsense x", "Match User=root", "Match User = root", "Match all#x", "Match Invalid-User", "Match all # x",
    'Match User "root', "ClientAliveInterval==300", "Match Version OpenSSH_*", "Match Address 1.2.3.4,", "Match User ,",
    "Match LocalPort 0", "Match LocalPort 99999", "Match RDomain x", 'ClientAliveInterval "300" = ',
    "ClientAliveInterval 300=",
    'ClientAliveInterval "300" 400', "ClientAliveInterval '300", 'Include "', "Match #x", "Match User #x",
)  # fmt: skip
_OPTIONS = (
    "ClientAliveInterval=77", "ClientAliveInterval 300", "ClientAliveCountMax=3", "clientalivecountmax  9",
    "ClientAliveInterval = 5m", "X11Forwarding=yes", "MaxSessions 7",
)  # fmt: skip
_INERT = (
    "", "   ", "# a comment", "\t# ClientAliveInterval 7", "#ClientAliveInterval 0", "#ClientAliveCountMax 3",
    "#Match User root", '"ClientAliveInterval 60', "==ClientAliveInterval 9", "= # x", "# caf\u00e9 \u2028", "#\tx \\",
    '"#x" 5', "# 'quote", "=", "\r",
)  # fmt: skip
_TOKENS = (
    *(
        b'"',
        b"'",
        b"\\",
        b"#",
        b"=",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b"\x0c",
        b"\xff",
        b"!",
        b",",
        b"*",
        b"?",
    ),
    *(b"[", b"Match ", b"all", b"Include ", b"User ", b"ClientAliveInterval ", b"9" * 40, b"w" * 5000),
    b"/etc/ssh/sshd_config ",
)


@dataclass(slots=True)
class Case:
    """A tree below `base`, whom to ask about, and what to plan for."""

    base: str
    files: dict[str, bytes] = field(default_factory=dict)
    contexts: list[Context] = field(default_factory=list)
    policy: Policy = field(default_factory=Policy)
    options: tuple[str, ...] = ()  # -o of the daemon

    @property
    def main(self) -> str:
        return f"{self.base}/main"


def case(seed: int, base: str, *, relative_to: str | None = None) -> Case:
    """The tree of a seed. With `relative_to` some Includes are written relative to that directory."""
    return _Maker(Random(seed), base, relative_to).case()


def mutated(random: Random, content: bytes) -> bytes:
    """The same file after a few accidents."""
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        at = random.randint(0, len(content))
        kind = random.random()
        if kind < 0.5:
            content = content[:at] + random.choice(_TOKENS) * random.choice((1, 1, 1, 3)) + content[at:]
        elif kind < 0.7:
            content = content[:at] + content[at + random.randint(1, 8) :]
        elif kind < 0.85:
            content = content[:at] + random.randbytes(random.randint(1, 6)) + content[at:]
        else:
            other = random.randint(0, len(content))
            content = content[:at] + content[min(at, other) : max(at, other)][:2000] + content[at:]
    return content


class _Maker:
    def __init__(self, random: Random, base: str, relative_to: str | None) -> None:
        self.random = random
        self.base = base
        self.relative_to = relative_to
        # Most trees are sound, or little would be compared; a bad line makes sshd refuse the whole tree.
        self.badness = random.choice((0, 0, 0, 0.1))
        self.eol = random.choice(("\n", "\n", "\n", "\r\n"))

    def case(self) -> Case:
        random = self.random
        made = Case(self.base)
        drop_ins = random.sample(["10-a", "9-b", "Z", "a b", "_x", "50-cloud-init"], random.choice((0, 0, 1, 2, 3)))
        for name in drop_ins:
            made.files[f"{self.base}/d/{name}.conf"] = self.text(random.randint(1, 6), depth=1)
        if random.random() < 0.4:
            made.files[f"{self.base}/n/inner.conf"] = self.text(random.randint(1, 4), depth=2)
        if random.random() < 0.3:
            made.files[f"{self.base}/d/.hidden.conf"] = b"ClientAliveInterval 1\n"
            made.files[f"{self.base}/d/x.conf.bak"] = b"ClientAliveInterval 2\n"
        made.files[made.main] = self.text(random.randint(0, 12), depth=0)
        if random.random() < 0.04:
            name = random.choice(list(made.files))
            at = random.randint(0, len(made.files[name]))
            made.files[name] = made.files[name][:at] + b"\0" + made.files[name][at:]
        if random.random() < 0.08:
            name = random.choice(list(made.files))
            made.files[name] = mutated(random, made.files[name])
        if random.random() < 0.1:
            made.options = tuple(random.sample(_OPTIONS, random.choice((1, 2))))
        made.contexts = [Context(), *(self.context() for _ in range(3))]
        made.policy = Policy(
            interval_s=random.choice((300, 300, 120)),
            count_max=random.choice((3, 3, 2)),
            match_overrides=random.choice((MatchOverrides.OVERRIDE, MatchOverrides.OVERRIDE, MatchOverrides.KEEP)),
            strategy=random.choice((Strategy.EDIT, Strategy.EDIT, Strategy.DROP_IN)),
        )
        return made

    def context(self) -> Context:
        random = self.random
        return Context(
            user=random.choice(USERS),
            host=random.choice(HOSTS).lower(),
            address=random.choice(ADDRESSES),
            local_address=random.choice(ADDRESSES),
            local_port=random.choice(PORTS),
        )

    def text(self, n_lines: int, *, depth: int) -> bytes:
        in_match = False
        lines: list[str] = []
        for _ in range(n_lines):
            kind = self.random.random()
            if kind < 0.22:
                line = self.match()
                in_match = True
            elif kind < 0.36 and depth < 2:
                line = self.include(depth)
            elif kind < 0.75:
                line = self.setting()
            elif kind < 0.9 or in_match:
                line = self.random.choice(_OTHERS)
            else:
                line = self.random.choice(_GLOBALS)
            lines.append(self.dressed(line))
            if self.random.random() < 0.2:
                lines.append(self.random.choice(_INERT))
            if self.random.random() < self.badness:
                lines.append(self.random.choice((*_JUNK, self.bad_setting(), *_GLOBALS)))
        text = "".join(line + (self.eol if self.random.random() < 0.97 else "\n") for line in lines)
        if text and self.random.random() < 0.15:
            text = text.rstrip("\r\n")
        return text.encode()

    def dressed(self, line: str) -> str:
        random = self.random
        keyword, _, rest = line.partition(" ")
        if random.random() < 0.1:
            keyword = random.choice((keyword.upper(), keyword.lower(), f'"{keyword}"', f"= {keyword}"))
        separator = random.choice((" ",) * 12 + ("\t", "  ", "=", " = ", " \t ", "= "))
        if keyword.startswith('"') and "=" in separator:
            separator = " "
        indent = random.choice(("",) * 6 + ("  ", "\t"))
        trailer = random.choice(("",) * 9 + (" # note", "\t#x", "  "))
        if rest.endswith("# there"):
            trailer = ""
        return f"{indent}{keyword}{separator}{rest}{trailer}"

    def setting(self) -> str:
        if self.random.random() < 0.6:
            return f"ClientAliveInterval {self.random.choice(_INTERVALS)}"
        return f"ClientAliveCountMax {self.random.choice(_COUNTS)}"

    def bad_setting(self) -> str:
        values = self.random.choice((_BAD_INTERVALS, _ODD_INTERVALS))
        if self.random.random() < 0.6:
            return f"ClientAliveInterval {self.random.choice(values)}"
        return f"ClientAliveCountMax {self.random.choice(_BAD_COUNTS)}"

    def match(self) -> str:
        random = self.random
        if random.random() < 0.15:
            return random.choice(("Match all", "Match All"))
        criteria = random.sample(
            ("User", "Group", "Host", "Address", "LocalAddress", "LocalPort"), random.choice((1, 1, 1, 2))
        )
        words: list[str] = []
        for criterion in criteria:
            name = random.choice((criterion,) * 5 + (criterion.lower(), criterion.upper(), f'"{criterion}"'))
            words += [name, self.argument(criterion)]
        return f"Match {random.choice((' ', ' ', '  ')).join(words)}"

    def argument(self, criterion: str) -> str:
        random = self.random
        if criterion == "LocalPort":
            return random.choice(("22", "2222", "022", "1"))
        if "Address" in criterion:
            pool: tuple[str, ...] = (
                "10.0.0.0/8", "10.0.0.1", "192.168.*", "!10.0.0.1,10.0.0.0/8", "*", "2001:db8::/32", "10.0.?.1",
                "!192.168.0.0/16,*", "::/0", "0.0.0.0/0", "10.1", "!10.0.0.1", "1*,2*", "10.0.0.1,192.168.1.7",
            )  # fmt: skip
        elif criterion == "User":
            pool = (
                "root", "alice", "bob,root", "!root", "*", "!bob,*", "al*", "?oot", "ROOT", '"alice"', "nobody,alice",
                "!alice,a*", "r*t", "sync", '"alice,root"', "**", "root,", "?????*",
            )  # fmt: skip
        elif criterion == "Group":
            pool = ("root", "alice", "nogroup", "*", "!root,*", "users,alice", "wheel", "!alice")
        else:
            pool = ("h", "*.example.org", "GATE.*", "!h,*", "web?.example.org", "other", "*")
        return random.choice(pool)

    def include(self, depth: int) -> str:
        random = self.random
        targets = [
            "d/*.conf",
            "d/*",
            "n/*.conf",
            "d/[0-9]*.conf",
            "n/inner.conf",
            "none/*.conf",
            '"d/a b.conf"',
            "d/?.conf",
        ]
        if depth:
            targets = ["n/*.conf", "n/inner.conf", "none", "n/*"]
        chosen = random.sample(targets, random.choice((1, 1, 1, 2)))
        return "Include " + " ".join(self.placed(target) for target in chosen)

    def placed(self, target: str) -> str:
        quote = '"' if target.startswith('"') else ""
        bare = target.strip('"')
        prefix = self.base
        if self.relative_to is not None and self.random.random() < 0.3:
            prefix = self.base.removeprefix(self.relative_to).lstrip("/")
        return f"{quote}{prefix}/{bare}{quote}"
