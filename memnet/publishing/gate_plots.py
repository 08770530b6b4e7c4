"""Figure 5: the gates' weight norms. Data in, Figure out: nothing is computed here but where things are drawn."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.lines import Line2D

from memnet.network.model import Config
from memnet.publishing import schematics, style
from memnet.publishing.schematics import Drawing
from memnet.publishing.style import BLUE, COLOURS, GREEN, GREY, ORANGE
from memnet.study.gates import KINDS, MEASURES, by_kind, normalised

KIND_COLOURS = dict(zip(KINDS, (GREEN, BLUE, ORANGE), strict=True))


def kind_names(config: Config) -> dict[str, str]:
    """How the kinds of memory are written in a legend."""
    return {
        "long-term": "long-term, $B_0$ to $B_{m-1}$",
        "short-term": f"short-term, $H^1$ to $H^{{{config.recursions - 1}}}$",
        "last": f"last recursion, $H^{{{config.recursions}}}$",
    }


def memory_name(memory: str) -> str:
    """B3 or H2 as mathematics."""
    return f"${memory[0]}{'_' if memory[0] == 'B' else '^'}{{{memory[1:]}}}$"


def gate_norms(norms: dict[str, list[np.ndarray]], memories: dict[str, pd.DataFrame], config: Config) -> Drawing:
    """fig5, as the paper has it: for each network six curves v_m^l against l = 1 .. L_m, and bars for each gate.

    `norms` (of `gates.gate_norms`) are brought to [0, 1] over the network; a curve's long-term part, the left C m maps,
    is drawn dark and ends at a dot. The bars are means over the long-term memories, over H^1 .. H^{R-1}, and over H^R,
    on the same scale. `memories` are those of `gates.memory_norms`. Raises ValueError for a network without memories
    of each kind.
    """
    with style.look():
        figure = schematics.drawing(9.4, 2.35 * len(norms) + 0.5)
        panels = figure.subplots(len(norms), 2, squeeze=False, width_ratios=[1.75, 1], sharex="col")
        for (curves, bars), (task, v) in zip(panels, norms.items(), strict=True):
            every = np.concatenate(v)
            for m, values in enumerate(normalised(v), start=1):
                gate_curve(curves, values, m * config.channels, COLOURS[(m - 1) % len(COLOURS)])
            curves.set(ylim=(0, 1), ylabel="norm, in [0, 1]", title=task, xlim=(0, None))
            means = (by_kind(memories[task], "norm") - every.min()) / (every.max() - every.min())
            kind_bars(bars, means)
            bars.set(title=f"{task}, means", ylim=(0, None))
        panels[-1, 0].set_xlabel("feature map $l$; left of the dot: long-term memory")
        panels[-1, 1].set_xlabel("gate $m$")
        gates = [
            Line2D([], [], color=COLOURS[(m - 1) % len(COLOURS)], label=f"$v_{{{m}}}$") for m in range(1, len(v) + 1)
        ]
        kinds = [Line2D([], [], lw=5, color=KIND_COLOURS[k], label=name) for k, name in kind_names(config).items()]
        figure.legend(handles=[*gates, *kinds], loc="outside lower center", ncols=len(gates) + len(kinds), fontsize=8)
        return figure


def gate_curve(axes: Axes, values: np.ndarray, long_term: int, colour: str) -> None:
    """The norms of one gate against the number of the map: long-term dark up to a dot, then short-term lighter."""
    numbers = np.arange(1, len(values) + 1)
    axes.plot(numbers, values, color=colour, lw=0.5, alpha=0.45)
    axes.plot(numbers[:long_term], values[:long_term], color=colour, lw=0.6)
    axes.plot(long_term, values[long_term - 1], "o", ms=5, mec="white", mew=0.7, color=colour, zorder=4)


def kind_bars(axes: Axes, means: pd.DataFrame) -> None:
    """Bars for each gate, one for each kind of memory."""
    for place, kind in enumerate(KINDS):
        axes.bar(means.index + (place - 1) * 0.27, means[kind], 0.25, color=KIND_COLOURS[kind])
    axes.set_xticks(list(means.index))
    axes.grid(axis="x", visible=False)


def memory_norms(memories: dict[str, pd.DataFrame], config: Config) -> Drawing:
    """fig5_memories: the mean norm of each memory in each gate, with its interval, divided by the initialisation's.

    Each memory has its place on the axis, long-term first; gate m has a gap where memories do not exist yet.
    """
    places = {name: place for place, name in enumerate(all_memories(config))}
    with style.look():
        figure = schematics.drawing(9.4, 2.1 * len(memories) + 0.7)
        panels = figure.subplots(len(memories), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (task, table) in zip(panels, memories.items(), strict=True):
            axes.axhline(1, color="black", lw=0.8)
            for m, gate in table.groupby("block"):
                colour, shift = COLOURS[(m - 1) % len(COLOURS)], 0.11 * (m - (config.blocks + 1) / 2)
                for _, part in gate.groupby(gate.kind == "long-term"):
                    x = np.array([places[memory] for memory in part.memory]) + shift
                    error = np.abs(part[["low", "high"]].T.to_numpy() - part.norm.to_numpy()) / part.initial.to_numpy()
                    axes.errorbar(
                        x,
                        part.ratio,
                        yerr=error,
                        label=f"$v_{{{m}}}$",
                        fmt=".-",
                        lw=0.7,
                        elinewidth=1.4,
                        ms=4,
                        color=colour,
                    )
            axes.axvline(config.blocks - 0.5, color=GREY, lw=0.8)
            axes.set(title=task, ylabel="norm / initial norm", xlim=(-0.5, len(places) - 0.5))
        panels[-1].set_xticks(range(len(places)), [memory_name(name) for name in places])
        panels[-1].set_xlabel("memory: long-term, then short-term")
        handles = [
            Line2D([], [], marker=".", color=COLOURS[(m - 1) % len(COLOURS)], label=f"gate {m}")
            for m in range(1, config.blocks + 1)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=config.blocks)
        return figure


def all_memories(config: Config) -> list[str]:
    """Every memory that some gate takes: B_0 .. B_{M-1}, H^1 .. H^R."""
    return config.gate_sources(config.blocks)


def growth(changes: dict[str, tuple[pd.DataFrame, pd.DataFrame]], config: Config) -> Drawing:
    """fig5_growth: norms when networks got their recursions and now, as arrows; a panel for each network.

    `changes` are those of `gates.growth_norms`.
    """
    with style.look():
        figure = schematics.drawing(9.4, 3.2)
        panels = figure.subplots(1, len(changes), sharey=True, squeeze=False)[0]
        for axes, (task, (before, now)) in zip(panels, changes.items(), strict=True):
            old, new = by_kind(before, "norm"), by_kind(now, "norm")
            for place, kind in enumerate(KINDS):
                x = old.index + (place - 1) * 0.25
                axes.plot(x, old[kind], "o", ms=4, mfc="white", color=KIND_COLOURS[kind])
                for at, start, end in zip(x, old[kind], new[kind], strict=True):
                    how = {"arrowstyle": "-|>", "color": KIND_COLOURS[kind], "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
                    axes.annotate("", (at, end), (at, start), arrowprops=how)
                axes.plot(x, new[kind], ls="", marker=",", color=KIND_COLOURS[kind])  # arrows move no limits
            axes.set(title=task, xlabel="gate $m$", xticks=list(old.index))
            axes.grid(axis="x", visible=False)
        panels[0].set(ylabel="norm, mean over maps", ylim=(0, None))
        kinds = [Line2D([], [], lw=3, color=KIND_COLOURS[k], label=name) for k, name in kind_names(config).items()]
        start = Line2D([], [], ls="", marker="o", mfc="white", color=GREY, label="at the growth (arrow: to now)")
        figure.legend(handles=[*kinds, start], loc="outside lower center", ncols=4, fontsize=8.5)
        return figure


def worth(memories: dict[str, pd.DataFrame], observations: pd.DataFrame, config: Config) -> Drawing:
    """fig5_worth: three measures of how much a gate depends on a memory, side by side: norm, contribution, PSNR lost.

    A row of maps (gate by memory) for each measure, a column for each network; `memories` are those of `gates.worth`.
    Below each map the verdicts of `observations` (of `gates.observations`, whose `where` are the keys of `memories`).
    """
    measures, names = ("ratio", "contribution", "psnr_lost"), all_memories(config)
    with style.look():
        figure = schematics.drawing(9.6, 2.5 * len(measures) + 0.4)
        panels = figure.subplots(len(measures), len(memories), squeeze=False)
        for row, measure in zip(panels, measures, strict=True):
            tables = {
                task: table.pivot(index="block", columns="memory", values=measure)[names]
                for task, table in memories.items()
            }
            values = np.stack(list(tables.values()))
            scale = Normalize(np.nanmin(values), np.nanmax(values))
            if measure == "psnr_lost":  # from 0.01 dB on logarithmic, to both sides
                largest = max(np.nanmax(np.abs(values)), 0.1)
                scale = SymLogNorm(0.01, vmin=-largest, vmax=largest)
            for axes, (task, table) in zip(row, tables.items(), strict=True):
                colours = "RdBu_r" if measure == "psnr_lost" else "viridis"
                drawn = axes.imshow(table, cmap=colours, norm=scale, aspect="auto")
                axes.set_xticks(range(len(names)), [memory_name(name) for name in names], fontsize=7.5)
                axes.set_yticks(range(len(table)), list(table.index))
                axes.axvline(config.blocks - 0.5, color="black", lw=1)
                axes.grid(visible=False)
                axes.spines[:].set_visible(False)
                axes.set_title(task, fontsize=9)
                axes.set_xlabel(verdicts(observations, task, measure), fontsize=8)
            row[0].set_ylabel("gate $m$")
            figure.colorbar(drawn, ax=row, label=MEASURES[measure], pad=0.01)
        return figure


def verdicts(observations: pd.DataFrame, run: str, measure: str) -> str:
    """What a measure says of observations 2 (mean), 3a and 3b for one network, in one line."""
    rows = observations[(observations["where"] == run) & ~observations.statistic.str.startswith("variance")]
    words = []
    for number in ("2", "3a", "3b"):
        name = MEASURES["norm" if measure == "ratio" and number != "2" else measure]
        row = rows[(rows.observation == number) & (rows.measure == name)].iloc[0]
        words.append(f"{number} {row.verdict.replace('not supported', 'no').replace('supported', 'yes')}")
    return "observation " + ", ".join(words)
