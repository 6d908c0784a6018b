"""A gate for pipelines: claims from outside judged on saved results, and what to say of them."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from bayescmp.report.blocks import ClaimRow
from bayescmp.report.markdown import escape, write_rows
from bayescmp.report.verdicts import build_claims
from bayescmp.report.words import plural, read_text
from bayescmp.results.claims import Claim
from bayescmp.results.verdict_tables import claims_dataset
from bayescmp.results.verdicts import judge

PASSED, REFUTED, OPEN = 0, 3, 4
"""Exit status: every claim passes, some claim is refuted, none is but some is inconclusive."""


@dataclass(frozen=True)
class Gate:
    """What a gate found.

    Attributes:
        name: What was judged, in words.
        claims: The claims with their verdicts.
        allow_inconclusive: Whether a claim that the seeds leave open passes.

    Example:
        >>> claim = bc.Claim("KL is small", "/divergence/mean_kl", 0.01, "below")
        >>> judge_gate(tree, [claim]).status
        0
    """

    name: str
    claims: tuple[ClaimRow, ...]
    allow_inconclusive: bool = False

    def count(self, verdict: str) -> int:
        """Count the claims that got a verdict.

        Args:
            verdict: ``supported``, ``refuted`` or ``inconclusive``.

        Returns:
            How many.
        """
        return sum(claim.verdict == verdict for claim in self.claims)

    @property
    def status(self) -> int:
        """Exit status of the gate: 0 passed, 3 refuted, 4 inconclusive."""
        if self.count("refuted"):
            return REFUTED
        return OPEN if self.count("inconclusive") and not self.allow_inconclusive else PASSED


def judge_gate(
    tree: xr.DataTree, claims: Sequence[Claim], *, allow_inconclusive: bool = False
) -> Gate:
    """Judge claims on a comparison, whatever its own study claimed.

    Args:
        tree: A comparison.
        claims: Claims, at least one.
        allow_inconclusive: Whether a claim that the seeds leave open passes.

    Returns:
        The claims with verdicts, values and intervals in words.

    Raises:
        ValueError: If there is no claim, or a metric is not in the tree; the message gives the
            nearest names.

    Example:
        >>> claim = bc.Claim("KL is tiny", "/divergence/mean_kl", 1e-6, "below")
        >>> judge_gate(tree, [claim]).claims[0].verdict
        'refuted'
    """
    if not claims:
        raise ValueError("claims: expected at least one, got none")
    verdicts = []
    for number, claim in enumerate(claims, start=1):
        try:
            verdicts.append(judge(claim, tree))
        except ValueError as error:
            raise ValueError(f"claim {number}: {error}") from error
    judged = tree.assign({"claims": xr.DataTree(claims_dataset(verdicts))})
    study, model = (read_text(tree, "/", name) for name in ("study", "model"))
    return Gate(f"{study} on {model}", build_claims(judged), allow_inconclusive)


def write_text(gate: Gate) -> str:
    """Write a gate's verdicts as lines for a terminal.

    Args:
        gate: What the gate found.

    Returns:
        One line for each claim, and the counts.
    """
    lines = [
        f"{claim.verdict:<12}  {claim.statement}: {claim.value} {claim.interval}, "
        f"claimed {claim.threshold}; {claim.reason}"
        for claim in gate.claims
    ]
    return "\n".join([*lines, f"{_sum_up(gate)}."])


def write_markdown(gate: Gate) -> str:
    """Write a gate's verdicts as Markdown, for the summary of a pipeline.

    Args:
        gate: What the gate found.

    Returns:
        A heading, the counts and a table, ended by a line break. Text of the results is
        escaped.
    """
    rows = [
        (
            claim.verdict,
            claim.statement,
            claim.metric,
            claim.threshold,
            claim.value,
            claim.interval,
            claim.reason,
        )
        for claim in gate.claims
    ]
    head = ("verdict", "claim", "metric", "threshold", "mean", "interval", "why")
    return f"### {escape(gate.name)}\n\n{_sum_up(gate)}.\n\n{write_rows(head, rows)}\n"


def write_junit(gate: Gate) -> str:
    """Write a gate's verdicts as JUnit XML, one test case for each claim.

    A refuted claim is a failure; an inconclusive one is a failure too, or skipped where the
    gate lets it pass. The same gate always gives the same text: it holds no time.

    Args:
        gate: What the gate found.

    Returns:
        The document, ended by a line break.
    """
    skipped = gate.count("inconclusive") if gate.allow_inconclusive else 0
    failures = gate.count("refuted") + gate.count("inconclusive") - skipped
    counts = {
        "tests": str(len(gate.claims)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
    }
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": gate.name, **counts})
    for claim in gate.claims:
        names = {"classname": claim.metric, "name": claim.statement}
        case = ElementTree.SubElement(suite, "testcase", names)
        told = (
            f"{claim.reason}: {claim.value} {claim.interval}, claimed {claim.threshold}; "
            f"seeds: {claim.seeds}"
        )
        if claim.verdict == "supported":
            ElementTree.SubElement(case, "system-out").text = told
        elif claim.verdict == "inconclusive" and gate.allow_inconclusive:
            ElementTree.SubElement(case, "skipped", {"message": claim.reason})
        else:
            attributes = {"type": claim.verdict, "message": claim.reason}
            ElementTree.SubElement(case, "failure", attributes).text = told
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _sum_up(gate: Gate) -> str:
    """Count the verdicts in words."""
    counts = (f"{gate.count(name)} {name}" for name in ("supported", "refuted", "inconclusive"))
    return f"{plural(len(gate.claims), 'claim')}: {', '.join(counts)}"
