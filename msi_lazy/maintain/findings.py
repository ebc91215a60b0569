"""Findings of a verification, for people and programs."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from msi_lazy.validation.report import counted

if TYPE_CHECKING:
    from msi_lazy.plan.windows import Window

__all__ = ["BlockFinding", "CheckedLevel", "Kind", "VerifyReport"]

Kind = Literal["differs", "missing", "altered", "unreadable", "unread", "unchecked"]
_MEANINGS: dict[Kind, str] = {
    "differs": "not what the finer level gives",
    "missing": "not in the store",
    "altered": "not the bytes that were stored",
    "unreadable": "cannot be decoded",
    "unread": "could not be read, as the store failed: it may be sound",
    "unchecked": "cannot be checked: the finer level cannot be read here",
}
_UNKNOWN = ("unread", "unchecked")
"""Kinds of blocks of which it is not known whether they are faulty."""
_WIDTH = 110


@dataclass(frozen=True)
class BlockFinding:
    """A faulty block of a level: a shard, or a chunk where there are none."""

    level: int
    """Number of the level."""
    path: str
    """Path of the level's array below the image."""
    unit: tuple[int, ...]
    """Index of the block in the level, counted along each dimension."""
    key: str
    """Key below the path: the name of its file."""
    window: Window
    """Samples of the block: start and stop along each dimension."""
    kind: Kind
    """``"differs"`` from what the finer level gives; ``"missing"`` from the store; ``"altered"`` since it was stored;
    ``"unreadable"``, that is, damaged; ``"unread"``, as the store failed; or ``"unchecked"``, as the finer level cannot
    be read there."""
    samples: int = 0
    """Number of its faulty samples; all, where none can be read."""
    first: tuple[int, ...] | None = None
    """Index of the first of them in C order; ``None`` where none can be read."""
    follows: bool = False
    """Whether it was compared with faulty blocks of the finer level: it may be sound."""
    repaired: bool = False
    """Whether it was recomputed from the finer level, and written."""
    note: str = ""
    """Error of the codec, or why it was not repaired."""

    def __str__(self) -> str:
        text = f"{self.path}/{self.key}: {self.kind}, {_MEANINGS[self.kind]}"
        if self.first is not None:
            first = ", ".join(map(str, self.first))
            text += f" ({counted(self.samples, 'sample')}, the first at [{first}])"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True)
class CheckedLevel:
    """Number of blocks of a level that were checked."""

    level: int
    """Number of the level."""
    path: str
    """Path of its array below the image."""
    checked: int
    """Chunks, or shards where there are any, that were checked."""
    total: int
    """Chunks or shards of the level."""


@dataclass(frozen=True)
class VerifyReport:
    """Result of a verification; printed, it is a list of faulty blocks, those first that others follow from.

    Examples
    --------
    >>> from msi_lazy.plan.windows import Interval
    >>> where = (Interval(0, 64), Interval(64, 128))
    >>> fault = BlockFinding(1, "scale1/image", (0, 1), "c/0/1", where, "differs", samples=1, first=(0, 70))
    >>> report = VerifyReport("cells.ome.zarr", (fault,), (CheckedLevel(1, "scale1/image", 8, 8),))
    >>> report.ok
    False
    >>> print(report)
    cells.ome.zarr: 1 faulty block
    <BLANKLINE>
    scale1/image/c/0/1: differs, not what the finer level gives (1 sample, the first at [0, 70])
    <BLANKLINE>
    scale1/image: 8 of 8 blocks checked
    """

    store: str
    """Store that was verified."""
    findings: tuple[BlockFinding, ...]
    """Faulty blocks, level by level."""
    levels: tuple[CheckedLevel, ...]
    """Numbers of blocks that were compared with the finer level; of a single level, that were decoded."""
    notes: tuple[str, ...] = ()
    """What is known besides, such as an update that has not finished."""

    @property
    def ok(self) -> bool:
        """True if all blocks could be checked, and no block is faulty, or all faulty ones were repaired."""
        return all(finding.repaired for finding in self.findings)

    @property
    def faulty(self) -> bool:
        """True if a block is known to be faulty, and was not repaired; where the store failed, none need be."""
        return any(not finding.repaired and finding.kind not in _UNKNOWN for finding in self.findings)

    @property
    def roots(self) -> tuple[BlockFinding, ...]:
        """Findings that do not follow from others."""
        return tuple(finding for finding in self.findings if not finding.follows)

    def __str__(self) -> str:
        lines = [self._title(), ""]
        for state, found in self._grouped():
            lines.extend(_wrapped(f"{finding}{state}") for finding in found)
        following = len(self.findings) - len(self.roots)
        if following:
            lines.append(f"{counted(following, 'block')} computed from these cannot be told sound or faulty")
        lines.extend(_wrapped(f"note: {note}") for note in self.notes)
        if self.findings or self.notes:
            lines.append("")
        lines += [f"{level.path}: {level.checked} of {counted(level.total, 'block')} checked" for level in self.levels]
        return "\n".join(lines)

    def _grouped(self) -> tuple[tuple[str, list[BlockFinding]], ...]:
        """Roots that remain, then repaired findings."""
        remaining = [finding for finding in self.roots if not finding.repaired]
        return ("", remaining), (" (repaired)", [finding for finding in self.findings if finding.repaired])

    def _title(self) -> str:
        repaired = sum(finding.repaired for finding in self.findings)
        whole = all(level.checked == level.total for level in self.levels)
        unknown = sum(finding.kind in _UNKNOWN for finding in self.roots)
        faulty = len(self.roots) - unknown
        what = counted(faulty, "faulty block") if faulty else "no faulty block"
        what += "" if whole or faulty else " among those checked"
        what += f", {repaired} of them repaired" if repaired else ""
        what += f", {counted(unknown, 'block')} that could not be checked" if unknown else ""
        return f"{self.store}: {what}" if self.store else what


def _wrapped(text: str) -> str:
    """Wrap ``text``, without breaking paths."""
    options = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "    "}
    return textwrap.fill(text, _WIDTH, **options)  # type: ignore[arg-type]
