"""Matplotlib figures as inline SVG that follows the page's colours and fonts."""

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from bayescmp.plots.axes import house_style
from bayescmp.plots.palette import LIGHT
from bayescmp.report.hover import SERIES, name_series, read_marks

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
NUMBER = re.compile(r"-?\d+\.\d{3,}")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
FONT_FAMILY = re.compile(r"\s*font-family:[^;]*;?")
REFERENCE = re.compile(r"#([\w.-]+)")
NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
ROLES = {colour: role for role, colour in LIGHT.items()}


def draw_svg(figure: Figure, ident: str, title: str, description: str) -> Markup:
    """Draw a figure as SVG to stand inside a page.

    Text stays text, in the page's font; every colour of the palette becomes the CSS variable
    ``--plot-<role>``; the background is clear; the drawing is as wide as its container. What has
    a label is marked as that series, and the marks carry their values for a page's script. The
    same figure always gives the same bytes.

    Args:
        figure: A figure in the project's style.
        ident: Prefix of all names inside, different for every figure of a page.
        title: What it shows, in one line, for readers who hear the page.
        description: What can be seen, in a sentence or two.

    Returns:
        Markup of one ``svg`` element, safe to insert: all text in it is escaped.
    """
    name_series(figure)
    buffer = io.BytesIO()
    with (
        house_style(),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": ident}),
        warnings.catch_warnings(),
    ):
        # Only for measuring: the browser has its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=NO_METADATA, transparent=True)
    root = ElementTree.fromstring(buffer.getvalue())
    _drop_furniture(root)
    _rename(root, ident)
    for element in root.iter():
        _restyle(element)
    _name(root, ident, title, description)
    root.set("data-marks", read_marks(figure))
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _drop_furniture(root: ElementTree.Element) -> None:
    """Remove metadata and the style sheet, which would act on the whole page."""
    unwanted = (f"{{{SVG}}}metadata", f"{{{SVG}}}style")
    for parent in list(root.iter()):
        for child in list(parent):
            holds = [grandchild.tag for grandchild in child]
            if child.tag in unwanted or (holds and set(holds) <= set(unwanted)):
                parent.remove(child)


def _rename(root: ElementTree.Element, ident: str) -> None:
    """Turn names of series into data, drop unused ones and prefix the others with ``ident``."""
    used = set(_references(root))
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name is not None and name.startswith(SERIES):
            element.set("data-series", name.removeprefix(SERIES))
        if name in used:
            element.set("id", f"{ident}-{name}")
        for key, value in element.attrib.items():
            if key == "data-series":
                continue
            if "url(#" in value or (key.endswith("href") and value.startswith("#")):
                element.set(key, REFERENCE.sub(rf"#{ident}-\1", value))


def _references(root: ElementTree.Element) -> Iterator[str]:
    """Yield every name that is referred to."""
    for element in root.iter():
        for key, value in element.attrib.items():
            if "url(#" in value or (key.endswith("href") and value.startswith("#")):
                yield from REFERENCE.findall(value)


def _restyle(element: ElementTree.Element) -> None:
    """Swap colours for roles, drop font families and shorten numbers."""
    if element.text is not None and not element.text.strip():
        element.text = None
    if element.tail is not None and not element.tail.strip():
        element.tail = None
    if "style" in element.attrib:
        style = FONT_FAMILY.sub("", element.attrib["style"])
        element.set("style", COLOUR.sub(_role, style))
    for key in ("d", "x", "y", "transform"):
        if key in element.attrib:
            digits = 4 if key == "transform" else 2
            text = NUMBER.sub(lambda match, n=digits: _round(match[0], n), element.attrib[key])
            element.set(key, " ".join(text.split()))
    if element.attrib.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    href = f"{{{XLINK}}}href"
    if element.attrib.get(href, "").startswith("data:"):
        element.set(href, "".join(element.attrib[href].split()))


def _name(root: ElementTree.Element, ident: str, title: str, description: str) -> None:
    """Give the drawing a name and a description, and let it fill its container."""
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-labelledby", f"{ident}-title {ident}-desc")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": f"{ident}-{tag}"})
        element.text = text
        root.insert(place, element)


def _role(match: re.Match[str]) -> str:
    """Return the CSS variable for a colour of the palette, or the colour itself."""
    role = ROLES.get(match[0].lower())
    return match[0] if role is None else f"var(--plot-{role})"


def _round(number: str, digits: int) -> str:
    """Write a number with fewer decimals."""
    text = f"{float(number):.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
