"""Reports as one SVG picture: a bar for each figure and for each ratio. And figures over time.

Figures of one unit share a linear scale within their report. Ratios are on a logarithmic scale
that starts at 1: bars to the right are above it, bars to the left below it.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import log10
from xml.sax.saxutils import escape

from ._harness import Check, Machine, Report, Row, figure

_WIDTH = 1000
_LINE = 20
_NAMES = 400
_BARS = 380
_HEIGHT, _POINTS = 60, 200  # of figures over time
_FIGURES, _REACHED, _MISSED, _INK, _GREY = "#5b8db8", "#5a9e6f", "#c8553d", "#222", "#888"


def svg(facts: Machine, reports: Sequence[Report]) -> str:
    """Draw reports.

    Args:
        facts: named in the title.
        reports: one below the other.

    Returns:
        An SVG document.
    """
    title = f"{facts.cpu}, {facts.cores} cores; {facts.python}"
    body = [_text(10, _LINE, title, _GREY)]
    y = 2 * _LINE
    for report in reports:
        body.append(_text(10, y + _LINE, report.benchmark, _INK, bold=True))
        y += 2 * _LINE
        for draw in (*_rows(report.rows), *_checks(report.checks)):
            body += [part.replace("@", str(y)) for part in draw]
            y += _LINE
    return _document(y + _LINE, body)


def lines(title: str, series: Mapping[str, Sequence[float]], seconds: float = 1.0) -> str:
    """Draw figures over time, one kind below the other, each on a scale that begins at 0.

    Args:
        title: what they are of.
        series: by name; of several figures that share a point the largest is drawn.
        seconds: between two figures.

    Returns:
        An SVG document.
    """
    body = [_text(10, _LINE, title, _INK, bold=True)]
    y = 2 * _LINE
    for name, figures in series.items():
        step = -(-len(figures) // _POINTS)
        tops = [max(figures[at : at + step]) for at in range(0, len(figures), step)]
        scale = _HEIGHT / (max(tops) or 1.0)
        width = (_WIDTH - 20) / max(len(tops) - 1, 1)
        points = " ".join(
            f"{10 + number * width:.0f},{y + _LINE + _HEIGHT - top * scale:.0f}"
            for number, top in enumerate(tops)
        )
        body += [
            _text(10, y + 14, f"{name}: at most {figure(max(tops))}", _INK),
            f'<path d="M10 {y + _LINE + _HEIGHT}H{_WIDTH - 10}" stroke="{_GREY}"/>',
            f'<polyline points="{points}" fill="none" stroke="{_FIGURES}"/>',
        ]
        y += 2 * _LINE + _HEIGHT
    minutes = max(map(len, series.values())) * seconds / 60
    body.append(_text(_WIDTH - 10, y, f"{minutes:.0f} minutes", _GREY, anchor="end"))
    return _document(y + _LINE, body)


def _document(height: int, body: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12"'
    background = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f"{head} {style}>", background, *body, "</svg>", ""])


def _rows(rows: Sequence[Row]) -> Iterator[list[str]]:
    largest: dict[str, float] = {}
    for row in rows:
        largest[row.unit] = max(largest.get(row.unit, 0.0), row.value.high)
    for row in rows:
        scale = _BARS / (largest[row.unit] or 1.0)
        yield _bar(
            row.name,
            f"{figure(row.value.median)} {row.unit}",
            (0.0, row.value.median * scale),
            (row.value.low * scale, row.value.high * scale),
            _FIGURES,
        )


def _checks(checks: Sequence[Check]) -> Iterator[list[str]]:
    values = [1.0]
    for check in checks:
        values += [check.ratio.low, check.ratio.high, *filter(None, (check.target,))]
    low = log10(min(values))
    scale = _BARS / (log10(max(values)) - low or 1.0)

    def place(ratio: float) -> float:
        return (log10(ratio) - low) * scale

    for check in checks:
        label = f"{figure(check.ratio.median)} x"
        if check.target is not None:
            label += f" ({check.comparison} {check.target:g})"
        lines = _bar(
            check.what,
            label,
            (place(1.0), place(check.ratio.median)),
            (place(check.ratio.low), place(check.ratio.high)),
            {True: _REACHED, False: _MISSED, None: _GREY}[check.reached],
        )
        if check.target is not None:
            x = _NAMES + place(check.target)
            lines.append(f'<path d="M{x:.1f} @v{_LINE}" stroke="{_INK}" stroke-width="2"/>')
        yield lines


def _bar(
    name: str, label: str, ends: tuple[float, float], span: tuple[float, float], colour: str
) -> list[str]:
    """One line; `@` stands for its top. `span` is where the thin line of the range goes."""
    left, right = sorted(ends)
    low, high = span
    box = f'x="{_NAMES + left:.1f}" y="4" width="{right - left:.1f}" height="12"'
    return [
        '<g transform="translate(0 @)">',
        _text(_NAMES - 10, 14, name, _INK, anchor="end"),
        f'<rect {box} fill="{colour}"/>',
        f'<path d="M{_NAMES + low:.1f} 10H{_NAMES + high:.1f}" stroke="{_INK}"/>',
        _text(_NAMES + _BARS + 10, 14, label, _INK),
        "</g>",
    ]


def _text(
    x: float, y: float, text: str, colour: str, *, bold: bool = False, anchor: str = "start"
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    words = escape(text).replace("@", "&#64;")
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}"{weight}>{words}</text>'
