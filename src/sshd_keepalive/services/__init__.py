"""Service managers: find, query and restart sshd; keep the guard running after a logout and a reboot.

One module each, which gives shell text only. A module has no access to a host and runs nothing. Its texts are POSIX
sh; they run as root inside the scripts of `scripts.survey` and `scripts.guard`, which offer them the variables
`$pid` (the listener), `$unit`, `$RUN` (the directory of the run) and `$again` (not empty: an earlier restart may have
failed), the function `flush PATH...`, to `is_active` also `$listener` (a process that was just seen to listen after a
restart, if any), and to `find_obstacle` also `$pidfile` (the file sshd writes its number to) and `$ACTION` (restart,
reload or none).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.quoting import quote


@runtime_checkable
class Service(Protocol):
    """What a module of this package provides.

    RANK: lowest first; the first whose DETECT answers is the host's manager. 0: only when the inventory says so.
    DETECT: a shell test, exit 0 when this manager runs the machine (`is_init NAME`: process 1 is this program), or
        supervises the listener (`is_supervised_by NAME`: its parent is this program). Files prove nothing: an init
        script may lie on a machine that never runs it.
    """

    RANK: int
    DETECT: str

    def find(self, service: ServiceChoice) -> str:
        """Give shell text that sets `$unit` to the unit which runs process `$pid`; empty when there is none.

        Not used where the inventory names the unit.
        """

    def is_active(self, service: ServiceChoice) -> str:
        """Give shell text that exits 0 when the unit is up."""

    def restart(self, service: ServiceChoice) -> str:
        """Give shell text that stops and starts, also from a failed state; exit 0 when the manager reports success."""


class Manager:
    """A module, with defaults for the members that it does not define; only those of Service are required.

    Args:
        module: what the registry gives.
    """

    def __init__(self, module: Service) -> None:
        self._module = module
        self.RANK = module.RANK
        self.is_active = module.is_active
        self.restart = module.restart

    def find(self, service: ServiceChoice) -> str:
        """Give the module's text, unless the inventory names the unit."""
        return f"unit={quote_unit(service)}" if service.unit else self._module.find(service)

    def find_next_start(self, service: ServiceChoice) -> str:
        """Give shell text that sets `$following` to the words sshd would be started with; empty where unknown.

        Without quotes: `follow TEXT FILE...` sets it to a text with its `$NAME` replaced by what environment files
        set. The output of the manager may be left in `$described`, for `find_obstacle`. By default: unknown.
        """
        return self._own("find_next_start", service, default=":")

    def find_obstacle(self, service: ServiceChoice) -> str:
        """Give shell text that sets `$problem` to `CAUSE SENTENCE` when `$ACTION` would not reach the daemon `$pid`.

        `$described` is what `find_next_start` left of it in this run; empty where `find_obstacle` must ask the manager.
        By default `find` must name the unit as the one that runs `$pid`; what the inventory describes has no obstacle.
        """
        default = _found_obstacle(self._module, service) if self.RANK else ":"
        return self._own("find_obstacle", service, default=default)

    def set_timer(self, name: str, command: str, after_s: int) -> str:
        """Give shell text that runs `command` in `after_s` seconds, also after the end of this session.

        By default a shell sleeps in a session of its own.
        """
        return self._own("set_timer", name, command, after_s, default=start_sleeper(name, command, after_s))

    def cancel_timer(self, name: str) -> str:
        """Give shell text that cancels what `set_timer` started under this name; exit 0 when there is none."""
        return self._own("cancel_timer", name, default=_END_SLEEPER)

    def hook_boot(self, name: str, command: str) -> str:
        """Give shell text that runs `command` at every boot, before sshd; `return 2` where that is not possible.

        By default it is not possible: the guard misses a reboot before the confirmation, and the run says so.
        """
        return self._own("hook_boot", name, command, default="return 2")

    def unhook_boot(self, name: str) -> str:
        """Give shell text that removes what `hook_boot` installed; exit 0 when there is nothing."""
        return self._own("unhook_boot", name, default=":")

    def _own(self, member: str, *arguments: Any, default: str) -> str:
        own: Callable[..., str] | None = getattr(self._module, member, None)
        return default if own is None else own(*arguments)


_END_SLEEPER = "end_sleeper"  # `cancel_timer` for `start_sleeper`


def is_init(module: Service) -> bool:
    """Whether a manager runs machines, so that it also provides timers and boot scripts."""
    return bool(module.RANK) and hasattr(module, "hook_boot")


def quote_unit(service: ServiceChoice) -> str:
    """Quote the unit as one word of shell text: the inventory's, else the one that `find` put into `$unit`."""
    return quote(service.unit) if service.unit else '"$unit"'


def build_functions(managers: Mapping[str, Service], service: ServiceChoice) -> str:
    """Write the functions that the scripts call: detect, find_unit, next_start, is_active, restart_unit, find_obstacle.

    `detect` sets `$manager`; the others follow it. The manager that the inventory names is not looked for.
    """
    tests = f"manager={quote(service.manager)}\n" if service.manager else _first(managers, "manager")
    possible = {service.manager: managers[service.manager]} if service.manager else managers

    def by_manager(text: Callable[[Manager], str], otherwise: str = "false") -> str:
        return _cases(possible, "$manager", text, otherwise)

    def find_obstacle(module: Manager) -> str:
        return (f"{_PROCESS_1}\n" if module.RANK else "") + module.find_obstacle(service)

    return (
        f"detect() {{\nmanager=''\n{tests}}}\n"
        f"find_unit() {{\nunit=''\n{by_manager(lambda m: m.find(service))}\n}}\n"
        f"next_start() {{\n{by_manager(lambda m: m.find_next_start(service))}\n}}\n"
        f"is_active() {{\n{by_manager(lambda m: m.is_active(service))}\n}}\n"
        f"restart_unit() {{\n{by_manager(lambda m: m.restart(service))}\n}}\n"
        f"find_obstacle() {{\nproblem=''\n{by_manager(find_obstacle, _NO_MANAGER)}\n}}\n"
    )


_PROCESS_1 = (
    'if [ "$pid" = 1 ]; then '
    'problem="process_1 sshd is process 1 of this container: a restart would end the container"; return; fi'
)
_NO_MANAGER = (
    f'{_PROCESS_1}\ncomm_of 1; problem="no_manager no supported service manager runs sshd here (process 1 is $comm)"'
)


def build_guard_functions(managers: Mapping[str, Service], name: str, expire: str, boot: str, after_s: int) -> str:
    """Give the shell functions that keep a guard running after its login ends.

    They are detect_init, set_timer, cancel_timer, hook_boot and unhook_boot.
    The machine's init system provides timers and boot scripts, whichever manager runs sshd: `detect_init` finds it
    and sets `$init`, empty where there is none or where the login is not root.

    Args:
        managers: the candidates; only those for which `is_init` is true count.
        expire: the command to run when the time is up.
        boot: the command to run at a boot.
    """
    ranked = {key: module for key, module in managers.items() if is_init(module)}

    def by_init(text: Callable[[Manager], str], otherwise: str) -> str:
        return _cases(ranked, "$init", text, otherwise)

    sleeper = start_sleeper(name, expire, after_s)
    return (
        f"detect_init() {{\ninit=''\nis_root || return 0\n{_first(ranked, 'init')}}}\n"
        f"set_timer() {{\n{by_init(lambda m: m.set_timer(name, expire, after_s), 'false')} || {{ {sleeper}; }}\n}}\n"
        f"cancel_timer() {{\n{by_init(lambda m: m.cancel_timer(name), ':')}\n{_END_SLEEPER}\n}}\n"
        f"hook_boot() {{\n{by_init(lambda m: m.hook_boot(name, boot), 'return 2')}\n}} >/dev/null\n"
        f"unhook_boot() {{\n{by_init(lambda m: m.unhook_boot(name), ':')}\n}}\n"
    )


def _first(managers: Mapping[str, Service], variable: str) -> str:
    by_rank = sorted((module.RANK, name) for name, module in managers.items() if module.RANK)
    return "".join(f"if {managers[name].DETECT}; then {variable}={name}; return; fi\n" for _, name in by_rank)


def _cases(managers: Mapping[str, Service], word: str, text: Callable[[Manager], str], otherwise: str) -> str:
    cases = "".join(f"{name}) {text(Manager(module))}\n;;\n" for name, module in sorted(managers.items()))
    return f"case {word} in\n{cases}*) {otherwise} ;;\nesac"


def start_sleeper(name: str, command: str, after_s: int) -> str:
    """Write `set_timer` for managers without timers: a shell in a session of its own, noted in `$RUN/sleeper`.

    `setsid` is in util-linux and busybox; where it is missing, `nohup` still survives the end of the login.
    """
    wait = quote(f"sleep {int(after_s)}; {command} # {name}")
    return f"$(command -v setsid || command -v nohup) sh -c {wait} </dev/null >/dev/null 2>&1 & note_sleeper $!"


def find_script(service: ServiceChoice) -> str:
    """`find` for init scripts: the first of the usual names that exists."""
    return 'for name in sshd ssh; do if test -x "/etc/init.d/$name"; then unit=$name; break; fi; done'


def write_script(path: str, lines: Iterable[str]) -> str:
    """Give shell text that writes an executable file."""
    return f"printf '%s\\n' {' '.join(quote(line) for line in lines)} >{path} && chmod 0755 {path}"


def find_settings_start(service: ServiceChoice) -> str:
    """Write `find_next_start` for init scripts: the options are in a file of one of these names.

    The scripts start a listener; a process for each connection is started by inetd or systemd, with its own options.
    Source: debian/openssh-server.ssh.init, Fedora's and SUSE's sshd.init, Gentoo's sshd.initd.
    """
    return (
        'if [ -z "$pid" ] || grep -q -i clientalive "/etc/init.d/$unit" 2>/dev/null; then return; fi\n'
        f"follow 'sshd $SSHD_OPTS $OPTIONS $command_args' {_SETTINGS}"
    )


_SETTINGS = "/etc/default/ssh /etc/sysconfig/sshd /etc/sysconfig/ssh /etc/conf.d/sshd"


def find_script_obstacle(service: ServiceChoice) -> str:
    """Write `find_obstacle` for init scripts: they stop the process of their PID file and start their own command.

    Proved is what the script, its settings file, or OpenRC's record of what it started (`/run/openrc/daemons`) spell
    out: the PID file that names `$pid`, and every word of its command line.
    """
    unit = quote_unit(service)
    files = f"/etc/init.d/{unit} /run/openrc/daemons/{unit}/* /etc/conf.d/{unit} {_SETTINGS}"
    return (
        f"name={unit}\n"
        'if [ -z "$name" ]; then problem="no_unit found no init script for sshd"; return; fi\n'
        "if [ -e /etc/ssh/sshd_not_to_be_run ]; then "
        'problem="not_to_be_run /etc/ssh/sshd_not_to_be_run prevents its start"; return; fi\n'
        '[ -n "$pid" ] || return 0\n'
        'case $pidfile in /*) ;; *) problem="no_pidfile the sshd that accepted this login ($pid) writes no PID file, '
        'so /etc/init.d/$name would not find it"; return ;; esac\n'
        'if [ "$(cat "$pidfile" 2>/dev/null)" != "$pid" ]; then '
        'problem="other_daemon $pidfile names another process, not the sshd that accepted this login ($pid)"; '
        "return; fi\n"
        # /var/run is a link to /run: a script may write either.
        "path=${pidfile#/var}\n"
        f'if ! grep -q -s -F -w -e "$path" -e "/var$path" {files}; then problem="other_daemon /etc/init.d/$name '
        'does not use $pidfile, the PID file of the sshd that accepted this login ($pid)"; return; fi\n'
        "set -f\nfor word in $words; do\nset +f\n"
        "case $word in -o | [Pp]id[Ff]ile=*) continue ;; esac\n"
        f'grep -q -s -F -w -e "$word" {files} || {{ problem="other_daemon /etc/init.d/$name would not start '
        'sshd with $word, as the one that accepted this login ($pid)"; return; }\n'
        "done\nset +f"
    )


def _found_obstacle(module: Service, service: ServiceChoice) -> str:
    """`find` must name the unit as the one that runs the sshd that accepted this login."""
    unit = quote_unit(service)
    return (
        f'name={unit} unit=\'\'\n{module.find(ServiceChoice())}\nset -- "$name" "$unit"; unit=$1\n'
        'case $2 in "") problem="no_unit no unit runs the sshd that accepted this login ($pid)" ;; '
        '"$1" | */"$1") ;; '
        '*) problem="other_daemon the sshd that accepted this login ($pid) belongs to $2, not to $1" ;; esac'
    )
