"""Results of rules, gathered while a hierarchy is examined."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from msi_lazy.validation.report import Finding, ValidationReport
from msi_lazy.validation.rules import RULES

__all__ = ["Checks"]


@dataclass(frozen=True)
class Checks:
    """Results of the rules for one node; those :meth:`at` other nodes go to the same collection."""

    path: str = "/"
    """Path of the node below the group that is validated."""
    findings: list[Finding] = field(default_factory=list)
    """Rules that are broken, of all nodes."""
    passed: Counter[str] = field(default_factory=Counter)
    """Number of times that each rule held, over all nodes."""
    versions: set[str] = field(default_factory=set)
    """OME-Zarr versions that were found."""

    def at(self, path: str) -> Checks:
        """Return the checks of the node at ``path`` below this one."""
        parts = filter(None, f"{self.path}/{path}".split("/"))
        return replace(self, path=_printable("/" + "/".join(parts)))

    def hold(self, rule: str, holds: bool, fault: str) -> bool:
        """Record whether ``rule`` holds for this node, and return that; ``fault`` says what is wrong if not.

        Examples
        --------
        >>> checks = Checks().at("labels")
        >>> checks.hold("axes-count", 1 >= 2, "there is 1 axis; 2 to 5 are allowed")
        False
        >>> print(checks.findings[0])
        MUST axes-count at /labels: there is 1 axis; 2 to 5 are allowed
        """
        if holds:
            self.passed[rule] += 1
        else:
            self.findings.append(Finding(rule, RULES[rule].severity, self.path, _printable(fault)))
        return holds

    def unread(self, fault: str) -> None:
        """Record that a part of this node could not be read, as the store failed; it may be sound."""
        self.hold("store-read", False, fault)

    def report(self, store: str, decode: str) -> ValidationReport:
        """Return the report on everything that was checked, with each finding once."""
        findings = sorted(dict.fromkeys(self.findings), key=lambda finding: finding.severity)
        passed = {rule: self.passed[rule] for rule in RULES if self.passed[rule]}
        return ValidationReport(store, tuple(sorted(self.versions)), decode, tuple(findings), passed)


def _printable(text: str) -> str:
    """Replace lone surrogates, which metadata may hold and no terminal can print."""
    return text.encode("utf-8", "backslashreplace").decode()
