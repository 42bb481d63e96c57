"""Metrics as Prometheus reads them: text in the exposition format 0.0.4.

Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = Mapping[str, str]

_NO_LABELS: Labels = {}


class Sample(NamedTuple):
    """One value of a metric.

    Args:
        value: as it is now.
        labels: what tells it from the others; any text will do as a value.
        suffix: what stands behind the name of the metric, as in a histogram.
    """

    value: float
    labels: Labels = _NO_LABELS
    suffix: str = ""


class Metric(Struct, frozen=True):
    """One metric with all its samples.

    Args:
        name: that of a counter ends in `_total`.
        kind: what it is.
        help: one sentence.
        samples: none twice with the same labels; taken once where they are no sequence.
    """

    name: str
    kind: Kind
    help: str
    samples: Iterable[Sample]

    def head(self) -> str:
        """The lines that say what it is."""
        text = self.help.replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {self.name} {text}\n# TYPE {self.name} {self.kind}\n"

    def lines(self, more: Labels = _NO_LABELS) -> Iterator[str]:
        """The line of each sample.

        Args:
            more: labels that all of them get.
        """
        for value, labels, suffix in self.samples:
            pairs = ",".join(f'{name}="{_escaped(at)}"' for name, at in {**more, **labels}.items())
            shown = f"{{{pairs}}}" if pairs else ""
            yield f"{self.name}{suffix}{shown} {number(value)}\n"


def histogram(
    counts: Sequence[int], bounds: Sequence[float], total: float, labels: Labels = _NO_LABELS
) -> Iterator[Sample]:
    """The samples of a histogram.

    Args:
        counts: how many values were at most as large as the bound at the same place, but larger
            than the one before; the last for all that were larger.
        bounds: in their order.
        total: the sum of all values.
        labels: of all samples.
    """
    sums = list(accumulate(counts))
    for bound, count in zip((*bounds, math.inf), sums, strict=True):
        yield Sample(count, {**labels, "le": number(bound)}, "_bucket")
    yield Sample(total, labels, "_sum")
    yield Sample(sums[-1], labels, "_count")


def number(value: float) -> str:
    """A value as it is written."""
    if isinstance(value, float):
        return "+Inf" if value == math.inf else repr(value)
    return str(int(value))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
