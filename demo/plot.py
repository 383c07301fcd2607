"""The picture: how far orbits wander, and the orbits of the planets around them."""

from pathlib import Path
from typing import Any, Dict

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from planets import PLANETS, TRACK_YEARS  # noqa: E402

JUPITER_A = 5.2029

INK, POINT, LINE, GAP = "#1f2933", "#7b8794", "#0b5394", "#d9480f"


def resonance(turns: int, jupiters: int) -> float:
    """The semi-major axis where a particle goes around `turns` times in `jupiters` of Jupiter's."""
    return JUPITER_A * (jupiters / turns) ** (2 / 3)


# The first three are the gaps that stand out; the others are drawn thinner.
GAPS = {"3:1": resonance(3, 1), "5:2": resonance(5, 2), "2:1": resonance(2, 1)}
LESSER = {"4:1": resonance(4, 1), "7:2": resonance(7, 2), "8:3": resonance(8, 3),
          "7:3": resonance(7, 3), "9:4": resonance(9, 4), "11:5": resonance(11, 5)}


def running_median(a: np.ndarray, wander: np.ndarray, bins: int = 160):
    """The median wander in narrow bins of the semi-major axis."""
    edges = np.linspace(a.min(), a.max(), bins + 1)
    which = np.clip(np.digitize(a, edges) - 1, 0, bins - 1)
    medians = np.array([np.median(wander[which == i]) if np.any(which == i) else np.nan
                        for i in range(bins)])
    return (edges[:-1] + edges[1:]) / 2, medians


def draw_wander(axes, a: np.ndarray, wander: np.ndarray, years: float) -> None:
    bottom, top = np.percentile(wander, 0.2) * 0.7, np.percentile(wander, 99.9) * 3
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    axes.set_xlim(a.min(), a.max() + 0.005)
    axes.plot(a, wander, ".", ms=2.6, color=POINT, alpha=0.6, mec="none", rasterized=True,
              label="one test particle")
    axes.plot(*running_median(a, wander), color=LINE, lw=1.6, label="median")
    for name, place in GAPS.items():
        axes.axvspan(place - 0.02, place + 0.02, color=GAP, alpha=0.13, lw=0)
        axes.annotate(name, (place, top), xytext=(0, 4), textcoords="offset points",
                      ha="center", color=GAP, fontsize=12, fontweight="bold")
    for name, place in LESSER.items():
        if a.min() < place < a.max():
            axes.axvline(place, color=GAP, lw=0.6, alpha=0.4, ls=":")
            axes.annotate(name, (place, top), xytext=(0, 4), textcoords="offset points",
                          ha="center", color=GAP, fontsize=8, alpha=0.7)
    axes.set_xticks(np.arange(2.0, 3.61, 0.2))
    axes.set_xlabel("semi-major axis at release (AU)")
    axes.set_ylabel("wander of its 50-year average (AU)")
    axes.set_title(f"Jupiter's resonances between the asteroids: {len(a):,} particles, "
                   f"{years:,.0f} years", loc="left", fontsize=12, pad=22, color=INK)
    axes.legend(loc="lower right", frameon=False, fontsize=9, markerscale=3)
    axes.grid(axis="y", color="#e4e7eb", lw=0.7)
    axes.set_axisbelow(True)


def draw_planets(axes, planets: Dict[str, Any], inner: float, outer: float) -> None:
    """Orbits out to Saturn from the first task, with the belt of the sweep between them."""
    ring = np.linspace(0, 2 * np.pi, 300)
    axes.fill(np.r_[outer * np.cos(ring), inner * np.cos(ring[::-1])],
              np.r_[outer * np.sin(ring), inner * np.sin(ring[::-1])], color=LINE, alpha=0.14, lw=0)
    for place in GAPS.values():
        axes.plot(place * np.cos(ring), place * np.sin(ring), color=GAP, lw=0.9)
    per_year = len(planets["track"]) / TRACK_YEARS
    for number, planet in enumerate(PLANETS[:6]):
        turn = int(planet.a**1.5 * per_year) + 2
        orbit = planets["track"][-turn:, number]
        axes.plot(orbit[:, 0], orbit[:, 1], color=INK, lw=0.7, alpha=0.8)
        axes.plot(*orbit[-1], "o", ms=5 if number > 3 else 2.5, color=INK)
        if number > 3:
            outwards = np.sign(orbit[-1])
            axes.annotate(planet.name, orbit[-1], xytext=9 * outwards, fontsize=9, color=INK,
                          textcoords="offset points", va="center",
                          ha="left" if outwards[0] > 0 else "right")
    axes.plot(0, 0, "o", ms=4, color="#f0b429")
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(f"The planets after {planets['years']} years\n"
                   f"energy error {planets['energy_error']:.0e}, "
                   f"Earth's year {planets['period_days']['Earth']:.2f} days",
                   fontsize=9, color=INK)


def draw(path: Path, a: np.ndarray, wander: np.ndarray, years: float,
         planets: Dict[str, Any]) -> None:
    """Writes the picture as a PNG."""
    plt.rcParams.update({"font.size": 10, "axes.edgecolor": INK, "axes.labelcolor": INK,
                         "xtick.color": INK, "ytick.color": INK,
                         "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 5.6), width_ratios=(2.6, 1), layout="constrained")
    draw_wander(left, a, wander, years)
    draw_planets(right, planets, a.min(), a.max())
    figure.savefig(path, dpi=130)
    plt.close(figure)


def contrast(a: np.ndarray, wander: np.ndarray, place: float) -> float:
    """The median wander at a resonance over that of its neighbours on both sides."""
    away = np.abs(a - place)
    return float(np.median(wander[away < 0.012]) / np.median(wander[(away > 0.04) & (away < 0.1)]))
