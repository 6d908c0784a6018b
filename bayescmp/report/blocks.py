"""What a page is made of: plain records that the template lays out."""

from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What stands in it.
        note: A second, smaller line, such as an interval.
    """

    text: str
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table; its first cell names it.

    Attributes:
        cells: The cells, one for each header.
        strong: Whether the row is the network's and stands out.
    """

    cells: tuple[Cell, ...]
    strong: bool = False


@dataclass(frozen=True)
class TableBlock:
    """A table.

    Attributes:
        caption: What it shows, in one sentence.
        headers: A name, with its unit below, for each column.
        rows: The rows.
    """

    caption: str
    headers: tuple[Cell, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class FigureBlock:
    """A figure with what it takes to read and to check it.

    Attributes:
        ident: Name within the page, ``fig-`` and the name of the ``plot_`` function that draws
            it, with hyphens.
        svg: The drawing.
        title: What it shows, in one line.
        variables: Paths of the variables it shows.
        reading: How to read it, in a few sentences.
        data: The numbers that are drawn.
        gaps: Which of its variables hold NaN or infinities, in words; empty where none does.
    """

    ident: str
    svg: Markup
    title: str
    variables: tuple[str, ...]
    reading: str
    data: TableBlock
    gaps: str = ""


@dataclass(frozen=True)
class Fact:
    """One line of a list of facts.

    Attributes:
        name: What it is.
        value: Its value, with its unit.
    """

    name: str
    value: str


@dataclass(frozen=True)
class FactList:
    """A list of facts under one heading.

    Attributes:
        title: The heading.
        facts: The facts.
    """

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        ident: Name within the page, for links.
        title: Heading.
        paragraphs: What was found, before any figure.
        figures: Figures in order.
        tables: Tables in order.
        facts: Lists of facts.
        points: A list of statements.
        missing: What is not there and why; empty where nothing is missing.
        commands: Lines for a terminal, after the paragraphs.
    """

    ident: str
    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[FigureBlock, ...] = ()
    tables: tuple[TableBlock, ...] = ()
    facts: tuple[FactList, ...] = ()
    points: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tile:
    """One of the four large figures at the top.

    Attributes:
        name: The measure.
        value: Its mean over seeds.
        unit: Unit of the value; empty for a share.
        interval: Its interval, or why there is none.
        rival: The best rung of the ladder in this measure.
    """

    name: str
    value: str
    unit: str
    interval: str
    rival: str


@dataclass(frozen=True)
class ClaimRow:
    """One claim with its verdict.

    Attributes:
        verdict: ``supported``, ``refuted`` or ``inconclusive``.
        statement: The claim in words.
        reason: Why the verdict, in words.
        metric: Path of the variable judged.
        threshold: The side and the threshold, with unit.
        value: Mean over seeds, with unit.
        interval: Its interval.
        seeds: The value of every seed.
    """

    verdict: str
    statement: str
    reason: str
    metric: str
    threshold: str
    value: str
    interval: str
    seeds: str


@dataclass(frozen=True)
class Headline:
    """The top of the page.

    Attributes:
        kicker: Study and preset.
        title: What was compared.
        subtitle: On what, and how much of it.
        answer: How far from exact Bayes, in half a line.
        detail: By which measure, with the interval over seeds.
        standing: How that stands on the ladder, in one sentence.
        warnings: What makes the figures doubtful.
        verdicts: How many claims got which verdict, such as ``("supported", 2)``.
        tiles: The four large figures.
        ladder: The ladder at a glance.
    """

    kicker: str
    title: str
    subtitle: str
    answer: str
    detail: str
    standing: str
    warnings: tuple[str, ...]
    verdicts: tuple[tuple[str, int], ...]
    tiles: tuple[Tile, ...]
    ladder: FigureBlock


@dataclass(frozen=True)
class Page:
    """The whole report.

    Attributes:
        headline: The top.
        claims: The verdicts.
        claims_missing: Why there are no verdicts; empty where there are.
        sections: Everything below.
        footer: Which file, schema and version the page was made from.
    """

    headline: Headline
    claims: tuple[ClaimRow, ...]
    claims_missing: str
    sections: tuple[Section, ...]
    footer: str = field(default="")
