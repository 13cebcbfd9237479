"""A run log read once, from front to back, in bounded memory: which telling lines stand in it, and when.

Only lines with a word of `patterns` are read. Of the others only times count: the first and the last of a block, to
know how long the log ran, and the one before a telling line, to know how long it was silent before the session was
lost.
200 MB take seconds, and a line of 200 MB is read in pieces.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Final

from sshd_keepalive.diagnosis import patterns, timestamps
from sshd_keepalive.diagnosis.causes import LOSSES, LineKind
from sshd_keepalive.diagnosis.patterns import Row

BLOCK_BYTES: Final = 1 << 20  # a good size to feed
_LINE_MAX: Final = 64 * 1024  # a longer line is read in pieces
_OVERLAP: Final = 512  # so that no word is cut in two
_TEXT_MAX: Final = 240  # of a matched line
_AT_EACH_END: Final = 10  # the first and the last of each kind of line
_LOOKED_BACK: Final = 50  # lines, for a time
_SNIFF_BYTES: Final = 4096

#: Signs that say when the session ended.
_ENDS: Final = LOSSES | {LineKind.FAILED, LineKind.SUCCEEDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedLine:
    """One telling line."""

    row: Row
    line: int  # 1-based
    text: str
    at: datetime | None
    silence_s: float | None  # since the line before it that has a time
    values: tuple[tuple[str, str], ...]

    def find(self, name: str) -> str | None:
        """Find what a group of the row's pattern held."""
        return next((value for key, value in self.values if key == name), None)


@dataclass(slots=True)
class RunLog:
    """All that a log tells. Made by `read`."""

    matches: list[MatchedLine] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # products whose name was met
    n_lines: int = 0
    n_bytes: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def lasted_s(self) -> float | None:
        """From the first time in the log to the end of the session, or to the last time when the log has no end."""
        ends = [s.at for s in self.matches if s.row.kind in _ENDS and s.at is not None]
        end = ends[0] if ends else self.last_at
        if self.first_at is None or end is None:
            return None
        return timestamps.measure_elapsed_s(self.first_at, end)


def read(blocks: Iterable[bytes]) -> RunLog:
    """Read a log of any size, in any encoding that holds ASCII, or UTF-16.

    Args:
        blocks: the file in pieces of any size; about BLOCK_BYTES is quick.
    """
    log = RunLog()
    reader = _Reader(log)
    for text, is_whole in _decode(blocks, log):
        reader.take(text, is_whole=is_whole)
    log.matches = sorted(chain.from_iterable(reader.kept.values()), key=lambda matched: matched.line)
    return log


def _decode(blocks: Iterable[bytes], log: RunLog) -> Iterator[tuple[str, bool]]:
    """Text that ends at a line end wherever there is one; False: the last line goes on."""
    decoder: codecs.IncrementalDecoder | None = None
    rest = ""
    for block in blocks:
        log.n_bytes += len(block)
        if decoder is None:
            decoder = codecs.getincrementaldecoder(_detect_encoding(block))(errors="replace")
        rest += decoder.decode(block)
        end = rest.rfind(_find_newline(rest)) + 1
        if end:
            yield rest[:end], True
            rest = rest[end:]
        elif len(rest) > _LINE_MAX:
            yield rest, False
            rest = rest[-_OVERLAP:]
    if decoder is not None:
        rest += decoder.decode(b"", final=True)
    if rest:
        yield rest, True


def _find_newline(text: str) -> str:
    """Find what ends a line; a lone return does so only in a log without others: progress bars are full of them."""
    return "\n" if "\n" in text else "\r"


def _detect_encoding(head: bytes) -> str:
    """Detect UTF-32 and UTF-16 by mark or zeros; the rest is read as UTF-8, in which the words looked for are ASCII."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sniffed = head[:_SNIFF_BYTES]
    if len(sniffed) > 3 and sniffed[1::2].count(0) > len(sniffed) // 4:
        return "utf-16-le"
    if len(sniffed) > 3 and sniffed[0::2].count(0) > len(sniffed) // 4:
        return "utf-16-be"
    return "utf-8-sig"


class _Reader:
    def __init__(self, log: RunLog) -> None:
        self._log = log
        self.kept: dict[int, list[MatchedLine]] = {}  # index of the row → the first and the last
        self._looked_to = 0  # lines of the present text in which a time was looked for
        self._last_at: datetime | None = None  # the last time before there

    def take(self, text: str, *, is_whole: bool) -> None:
        """One piece of the log."""
        log, newline = self._log, _find_newline(text)
        self._looked_to, self._last_at = 0, log.last_at
        lowered = text.lower()  # its letters may be more than those of the text, its lines are as many
        if log.first_at is None:
            log.first_at = _find_time(text[:_LINE_MAX].split(newline)[:_LOOKED_BACK])
        log.names.update(name for word, name in patterns.NAMES if word in lowered)
        if words := [word for word in patterns.WORDS if word in lowered]:
            rows = [(index, row) for index, row in enumerate(patterns.ROWS) if row.word in words]
            lines = text.split(newline)
            for number in _find_lines(lowered, newline, words):
                line = lines[number]
                for start in range(0, len(line), _LINE_MAX):
                    self._read(line[max(0, start - _OVERLAP) : start + _LINE_MAX], lines, number, rows)
        log.last_at = _find_time(reversed(text[-_LINE_MAX:].split(newline)[-_LOOKED_BACK:])) or log.last_at
        log.n_lines += text.count(newline) + (is_whole and not text.endswith(newline))

    def _read(self, piece: str, lines: list[str], number: int, rows: list[tuple[int, Row]]) -> None:
        """Read a line, or a piece of a long one; its number counts from 0 within the present lines."""
        lowered = piece.lower()
        matches = [(i, row, match) for i, row in rows if row.word in lowered for match in row.find(piece)]
        if not matches:  # times are dear
            return
        since = max(self._looked_to, number - _LOOKED_BACK)  # no line is looked at twice
        before = _find_time(reversed(lines[since:number])) or self._last_at
        at = timestamps.read_time(piece)
        self._looked_to, self._last_at = number + 1, at or before
        self._log.last_at = at or self._log.last_at
        for index, row, match in matches:
            start = max(0, match.start() - _TEXT_MAX // 3)
            self._keep(
                index,
                MatchedLine(
                    row=row,
                    line=self._log.n_lines + number + 1,
                    text=piece[start : start + _TEXT_MAX].strip(),
                    at=at or before,
                    silence_s=timestamps.measure_elapsed_s(before, at) if before and at else None,
                    values=tuple((key, value) for key, value in match.groupdict().items() if value is not None),
                ),
            )

    def _keep(self, index: int, matched: MatchedLine) -> None:
        kept = self.kept.setdefault(index, [])
        if len(kept) == 2 * _AT_EACH_END:
            del kept[_AT_EACH_END]
        kept.append(matched)


def _find_lines(lowered: str, newline: str, words: Iterable[str]) -> Iterator[int]:
    """Find the lines, counted from 0, that contain one of the words."""
    offsets = sorted(at for word in words for at in _find_word(lowered, word))
    number, counted, last = 0, 0, -1
    for at in offsets:
        number += lowered.count(newline, counted, at)
        counted = at
        if number != last:
            yield number
        last = number


def _find_word(lowered: str, word: str) -> Iterator[int]:
    """Where a word stands, once for each line at least."""
    at = lowered.find(word)
    while at >= 0:
        yield at
        at = lowered.find(word, at + len(word))


def _find_time(lines: Iterable[str]) -> datetime | None:
    return next((at for line in lines if (at := timestamps.read_time(line))), None)
