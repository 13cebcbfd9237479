"""What runs on a host, as real shell files: checked with shellcheck, run under four shells in the tests."""

from functools import cache
from pkgutil import get_data


@cache
def read_script(name: str) -> str:
    """Read one script of this package, without its comments: they would travel to every host.

    Lines that only hold a comment go, and indentation; everything else stays as it is in the file.
    """
    script = get_data(__package__, f"{name}.sh")
    assert script is not None
    lines = map(str.lstrip, script.decode().splitlines())
    return "\n".join(line for line in lines if not line.startswith("#")) + "\n"


def compose(name: str, values: dict[str, str], functions: str = "") -> str:
    """Build what is sent to a shell: variables, functions, the parts that all scripts share, the named script."""
    return (
        "LC_ALL=C; export LC_ALL\n" + render_variables(values) + functions + read_script("common") + read_script(name)
    )


def render_variables(values: dict[str, str]) -> str:
    """Render assignments of quoted values, one a line."""
    from sshd_keepalive.quoting import quote

    return "".join(f"{name}={quote(value)}\n" for name, value in values.items())
