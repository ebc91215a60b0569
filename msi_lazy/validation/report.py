"""Findings of a validation, for people and programs."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from msi_lazy.validation.rules import RULES, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Finding", "ValidationReport", "counted"]

_WIDTH, _COLUMNS = 110, 3
_DECODED = {
    "sample": "a few chunks of each level were decoded",
    "all": "every chunk was decoded",
    "none": "no chunk was decoded",
}


@dataclass(frozen=True)
class Finding:
    """A rule that is broken, and the node that breaks it."""

    rule: str
    """Name of the rule."""
    severity: Severity
    """``"must"``, ``"should"``, or ``"unread"`` where a part could not be checked."""
    path: str
    """Path of the node, ``/`` for the group that was validated."""
    message: str
    """Fault, what is allowed, and what to do."""

    def __str__(self) -> str:
        return f"{self.severity.upper()} {self.rule} at {self.path}: {self.message}"


@dataclass(frozen=True)
class ValidationReport:
    """Result of a validation; printed, or shown in a notebook, it is a list of findings.

    Examples
    --------
    >>> fault = Finding("axes-order", "must", "/", "the axes are 'y', 'c', 'x'; channel comes before space: reorder")
    >>> report = ValidationReport("cells.ome.zarr", ("0.5",), "sample", (fault,), {"axes-count": 1, "axes-unique": 1})
    >>> report.ok
    False
    >>> print(report)
    cells.ome.zarr: not valid OME-Zarr 0.5: 1 MUST broken
    <BLANKLINE>
    MUST    axes-order  /
            the axes are 'y', 'c', 'x'; channel comes before space: reorder
    <BLANKLINE>
    a few chunks of each level were decoded
    2 checks passed:
      axes-count                  1   axes-unique                 1
    """

    store: str
    """Store that was validated."""
    versions: tuple[str, ...]
    """OME-Zarr versions that were found; one, if all is well."""
    decode: str
    """Chunks that were decoded: ``"sample"``, ``"all"`` or ``"none"``."""
    findings: tuple[Finding, ...]
    """Rules that are broken, those of ``"must"`` first."""
    passed: Mapping[str, int]
    """Number of times that each rule held."""

    @property
    def ok(self) -> bool:
        """``True`` if no rule of severity ``"must"`` is broken, and the store did not fail."""
        return not self.errors and not self.unread

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings of severity ``"must"``."""
        return tuple(finding for finding in self.findings if finding.severity == "must")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings of severity ``"should"``."""
        return tuple(finding for finding in self.findings if finding.severity == "should")

    @property
    def unread(self) -> tuple[Finding, ...]:
        """Parts that could not be read, as the store failed: they may be sound."""
        return tuple(finding for finding in self.findings if finding.severity == "unread")

    def __str__(self) -> str:
        lines = [self._title(), ""]
        for finding in self.findings:
            lines.append(f"{finding.severity.upper():<8}{finding.rule}  {finding.path}")
            lines += textwrap.wrap(finding.message, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
            lines.append("")
        lines += [_DECODED[self.decode], f"{counted(sum(self.passed.values()), 'check')} passed:"]
        cells = [f"{rule:<24}{count:>5}" for rule, count in self.passed.items()]
        lines += ["  " + "   ".join(cells[i : i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        findings = "".join(
            f"<tr><td>{finding.severity.upper()}</td><td>{escape(finding.rule)}</td><td>{escape(finding.path)}</td>"
            f'<td style="text-align: left">{escape(finding.message)}</td></tr>'
            for finding in self.findings
        )
        head = "".join(f'<th scope="col">{heading}</th>' for heading in ("severity", "rule", "node", "finding"))
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{findings}</tbody></table>" if findings else ""
        passed = "".join(
            f"<tr><td>{escape(rule)}</td><td>{count}</td>"
            f'<td style="text-align: left">{escape(RULES[rule].statement)}</td></tr>'
            for rule, count in self.passed.items()
        )
        return (
            f"<p><strong>{escape(self._title())}</strong>; {_DECODED[self.decode]}</p>{table}"
            f"<details><summary>{counted(sum(self.passed.values()), 'check')} passed</summary>"
            f"<table><tbody>{passed}</tbody></table></details>"
        )

    def _title(self) -> str:
        what = "valid OME-Zarr" if self.ok else "not valid OME-Zarr" if self.errors else "no fault found in OME-Zarr"
        verdict = " ".join([what, " and ".join(self.versions)]).rstrip()
        counts = ((self.errors, "MUST"), (self.warnings, "SHOULD"))
        broken = [f"{counted(len(found), word)} broken" for found, word in counts if found]
        broken += [f"{counted(len(self.unread), 'part')} not read, as the store failed"] if self.unread else []
        return ": ".join(filter(None, [self.store, verdict, ", ".join(broken)]))


def counted(number: int, word: str) -> str:
    """Join a number and its noun, in the plural unless the number is 1.

    Examples
    --------
    >>> counted(1, "block"), counted(2, "block")
    ('1 block', '2 blocks')
    """
    return f"{number} {word}" + ("" if number == 1 else "s")
