"""The plot: requests/s and CPU per request at 16 connections, a row for each model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import names
from .document import Document
from .figures import Spread, closed_of, servers_of

LEVEL = 16
OURS, OTHERS, FLOOR = "#0b6e4f", "#8d99ae", "#d8dee9"


def draw(document: Document, file: Path) -> None:
    """Write an SVG. Rates and costs lie orders of magnitude apart, so both axes are logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "stagedoor"  # the same bytes for the same readings
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: small, and can be searched
    mpl.rcParams["font.size"] = 9
    from matplotlib import pyplot as plt

    shown = [one for one in names.WORKLOADS if any(closed_of(document, s, one, LEVEL) for s in servers_of(document, one))]
    if not shown:
        return
    heights = [len(servers_of(document, workload)) + 1.5 for workload in shown]
    size = (10, 0.32 * sum(heights) + 1)
    figure, axes = plt.subplots(len(shown), 2, figsize=size, height_ratios=heights, squeeze=False, layout="constrained")
    for line, workload in zip(axes, shown, strict=True):
        _bars(line[0], document, workload, "rate", "requests/s, more is better")
        _bars(line[1], document, workload, "cpu_us", "CPU per request in us, less is better")
    figure.suptitle(f"{LEVEL} connections, closed loop, JSON over HTTP: median, with least and largest of the repeats")
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)


def _bars(axes: Any, document: Document, workload: str, field: str, title: str) -> None:
    found = [
        (server, spread)
        for server in reversed(servers_of(document, workload))
        if (spread := Spread.of(getattr(row, field) for row in closed_of(document, server, workload, LEVEL)))
    ]
    middles = [spread.median for _, spread in found]
    ranges = [[s.median - s.low for _, s in found], [s.high - s.median for _, s in found]]
    colours = [_colour(server) for server, _ in found]
    bars = axes.barh([server for server, _ in found], middles, xerr=ranges, color=colours, error_kw={"elinewidth": 0.8})
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xlim(min(middles) / 3, max(middles) * 5)
    axes.bar_label(bars, labels=[f"{middle:,.0f}" for middle in middles], padding=6)
    axes.set_title(f"{workload}: {title}", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _colour(server: str) -> str:
    if server == names.ECHO:
        return FLOOR
    return OURS if server in names.OWN else OTHERS
