"""Files are replaced whole or not at all; devices and the like are written through."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sshd_keepalive import files
from tests.support.devices import FULL, NULL, device, is_device


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "report"
    files.write(file, b"one")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    with file.open("rb") as before:
        files.write(file, b"two")
        assert (before.read(), file.read_bytes()) == (b"one", b"two")
    assert os.listdir(tmp_path) == ["report"]


def test_a_link_to_a_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    for name, target in (("report", "theirs"), ("dangling", "nowhere")):
        (tmp_path / name).symlink_to(target)
        files.write(tmp_path / name, b"ours")
        assert not (tmp_path / name).is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["dangling", "report", "theirs"]
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


def test_a_planted_link_beside_the_target_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.secrets, "token_hex", lambda n: "guessed")
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / ".sshd-keepalive-guessed").symlink_to("theirs")
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "report", b"ours")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


@pytest.mark.parametrize("through_link", [False, True])
def test_a_device_is_written_through(tmp_path: Path, through_link: bool) -> None:
    null, full = device(tmp_path / "null", NULL), device(tmp_path / "full", FULL)
    written = null, full
    if through_link:
        written = tmp_path / "to-null", tmp_path / "to-full"
        written[0].symlink_to("null")
        written[1].symlink_to("full")
    files.write(written[0], b"gone")
    with pytest.raises(OSError, match="No space left"):
        files.write(written[1], b"too much")
    assert is_device(null)
    assert is_device(full)
    assert [path.is_symlink() for path in written] == [through_link] * 2


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    files.write(fifo, b"report")
    reader.join(10)
    assert read == [b"report"]
    assert fifo.is_fifo()


@pytest.mark.parametrize("is_file", [False, True])
def test_standard_output_by_its_name_is_written_through(tmp_path: Path, is_file: bool) -> None:
    link = tmp_path / "stdout"  # as /dev/stdout is, which the wrong code would replace
    link.symlink_to("/proc/self/fd/1")
    code = "import sys, pathlib, sshd_keepalive.files as f; f.write(pathlib.Path(sys.argv[1]), b'report')"
    words = [sys.executable, "-c", code, str(link)]
    if is_file:
        with (tmp_path / "file").open("wb") as file:
            subprocess.run(words, stdout=file, check=True)
        assert (tmp_path / "file").read_bytes() == b"report"
    else:
        assert subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout == b"report"
    assert link.is_symlink()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report"
    file.write_bytes(b"old")
    code = (
        "import resource, signal, sys, pathlib, sshd_keepalive.files as f\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try: f.write(pathlib.Path(sys.argv[1]), b'x' * 100)\nexcept OSError as e: print(e.strerror)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"old", ["report"])
