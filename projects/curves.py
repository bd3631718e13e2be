"""The curves of a project's scores, and their drawing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from clipforge.media import Curves
from clipforge.media import curves as media_curves
from projects import moments, selectors
from projects.models import Moment, Project

# Pixels. A row is a curve.
WIDTH, LABEL, RIGHT = 960, 112, 24
TOP, ROW, GAP, FOOT = 56, 40, 12, 44
SCORE, SUBSCORE, SHADE = "#b45309", "#2563eb", "#fde68a"
INK, FAINT, PAPER = "#1f2937", "#d1d5db", "#ffffff"
FONT = 'font-family="system-ui, sans-serif" font-size="13"'
TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds
MOST_TICKS = 9
# What no XML document may have, however it is written.
NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def curves_of(project: Project) -> Curves:
    """The score and the sub-scores over the length of the source, from what was kept of it.

    Raises Conflict unless the project was analysed and its features are there. Takes less than a
    second, in a child process.
    """
    moments.require_analysed(project)
    features = moments.require_features(project)
    with moments.features_that_cannot_be_read():
        return media_curves(features, moments.spoken(project))


def drawn(project: Project, curves: Curves) -> str:
    """The curves as an SVG document, one under the other, with the moments shaded."""
    found = list(selectors.moments(project).order_by("start"))
    rows = len(curves.values)
    bottom = TOP + rows * (ROW + GAP)
    title = NOT_XML.sub("", project.title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + FOOT}" role="img" '
        f'aria-labelledby="title description" {FONT} fill="{INK}">',
        f'<title id="title">Scores of {escape(title)}</title>',
        f'<desc id="description">{escape(_told(curves))}</desc>',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        f'<text x="{LABEL}" y="26" font-size="16" font-weight="600">{escape(title[:90])}</text>',
        f'<text x="{LABEL}" y="44" fill="#4b5563">Scores from 0 to 100 over time; moments are shaded</text>',
        *_shades(found, project.duration, bottom - GAP),
    ]
    for number, (name, values) in enumerate(curves.values.items()):
        parts += _row(name, values, curves.step, project.duration, TOP + number * (ROW + GAP))
    return "\n".join((*parts, *_axis(project.duration, bottom), "</svg>")) + "\n"


def _told(curves: Curves) -> str:
    """The curves in words, for who does not see them."""
    said = []
    for name, values in curves.values.items():
        highest = max(range(len(values)), key=values.__getitem__)
        mean = sum(values) / len(values)
        at = clock((highest + 0.5) * curves.step)
        said.append(f"{name}: {mean:.0f} on average, highest at {at} with {values[highest]:.0f}")
    return "; ".join(said) + "."


def _shades(found: Iterable[Moment], duration: float, bottom: float) -> list[str]:
    shades = []
    for moment in found:
        begin, end = _x(moment.start, duration), _x(moment.end, duration)
        shades.append(
            f'<rect x="{begin:.1f}" y="{TOP}" width="{max(1.0, end - begin):.1f}" '
            f'height="{bottom - TOP}" fill="{SHADE}" fill-opacity="0.6"><title>'
            f"Moment from {clock(moment.start)} to {clock(moment.end)}, score {moment.score:.0f}"
            "</title></rect>"
        )
    return shades


def _row(name: str, values: Sequence[float], step: float, duration: float, top: int) -> list[str]:
    bottom = top + ROW
    points = [
        (_x((number + 0.5) * step, duration), bottom - value / 100 * ROW)
        for number, value in enumerate(values)
    ]
    # To both edges, where the first and the last point stand for what is beyond them.
    points = [(float(LABEL), points[0][1]), *points, (float(WIDTH - RIGHT), points[-1][1])]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    color = SCORE if name == "score" else SUBSCORE
    area = f"{LABEL},{bottom} {line} {WIDTH - RIGHT},{bottom}"
    return [
        f'<g><title>{escape(name)}</title><text x="{LABEL - 12}" y="{bottom - ROW / 2 + 5:.0f}" '
        f'text-anchor="end">{escape(name)}</text>',
        f'<path d="M{LABEL} {top}H{WIDTH - RIGHT}M{LABEL} {bottom}H{WIDTH - RIGHT}" stroke="{FAINT}"/>',
        f'<polygon points="{area}" fill="{color}" fill-opacity="0.14"/>',
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5" '
        'stroke-linejoin="round"/></g>',
    ]


def _axis(duration: float, top: int) -> list[str]:
    every = next((tick for tick in TICKS if duration / tick <= MOST_TICKS), TICKS[-1])
    return [
        f'<text x="{_x(time, duration):.1f}" y="{top + 16}" text-anchor="middle" fill="#4b5563">'
        f"{clock(time)}</text>"
        for time in range(0, int(duration) + 1, every)
    ]


def _x(time: float, duration: float) -> float:
    return LABEL + min(time / duration, 1.0) * (WIDTH - RIGHT - LABEL)


def clock(seconds: float) -> str:
    """A time as players write it: `1:02:03`, and without hours `2:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
