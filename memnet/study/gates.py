"""The gate units of a network: the weight norms of sec. 5.3 and fig. 5."""

from itertools import combinations

import numpy as np
import pandas as pd
import torch
from scipy import stats

from memnet.network.model import Config, MemNet

OBSERVATIONS = {  # section 5.3 in our words
    "1": "different tasks have different distributions of the norms",
    "2": "mean and variance of the norms fall as the number of the memory block rises",
    "3a": "the last recursion H^R contributes more than the mean of the others and than that of the long-term memories",
    "3b": "in later blocks long-term memory contributes more than the recursions before the last",
}


def gate_norms(model: MemNet, over: str | None = "gate") -> list[np.ndarray]:
    """v_m for m = 1 .. M (fig. 5): the l2 norm, over the filters, of gate m's weights for each of its L_m input maps.

    The maps are in the gate's order: long-term memory B_0 .. B_{m-1}, then H^1 .. H^R, `channels` maps each. The larger
    a norm, the more the gate depends on that map. The paper normalises to [0, 1] "for better visualisation" and does
    not say over what: `over="gate"` maps the least and largest norm of each gate to 0 and 1, `over="network"` those
    of all gates (curves keep their relative heights), None gives plain norms. Raises ValueError without gates.
    """
    if not isinstance(model, MemNet):
        raise ValueError(f"gate norms are those of a MemNet, and {type(model).__name__} has no gate units")
    weights = [block.gate_unit[-1].weight.detach().cpu().double() for block in model.blocks]
    norms = [torch.linalg.vector_norm(weight, dim=(0, 2, 3)).numpy() for weight in weights]
    if over is None:
        return norms
    if over not in ("gate", "network"):
        raise ValueError(f"over is gate, network or None, got {over!r}")
    everything = np.concatenate(norms)
    return [to_unit(v, v if over == "gate" else everything) for v in norms]


def to_unit(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """`values` with the least of `among` at 0 and the largest at 1; ones where these are equal."""
    least, largest = among.min(), among.max()
    return (values - least) / (largest - least) if largest > least else np.ones_like(values)


def memory_norms(norms: list[np.ndarray], config: Config) -> pd.DataFrame:
    """Mean and standard deviation of the norms over the maps of each memory: block, memory, kind, mean, deviation.

    `kind` is long-term (B_0 .. B_{m-1}), short-term (H^1 .. H^{R-1}) or last (H^R).
    """
    rows = []
    for m, v in enumerate(norms, start=1):
        memories = config.gate_sources(m)
        for name, maps in zip(memories, np.split(v, len(memories)), strict=True):
            kind = "long-term" if name.startswith("B") else "last" if name == memories[-1] else "short-term"
            rows.append((m, name, kind, maps.mean(), maps.std()))
    return pd.DataFrame(rows, columns=["block", "memory", "kind", "mean", "deviation"])


def observations(norms: dict[str, list[np.ndarray]], config: Config) -> pd.DataFrame:
    """The three observations of section 5.3 as numbers: observation, claim, where, measure, value, p, verdict.

    `norms` has the plain norms (`gate_norms(model, over=None)`) of one network a task, all of one `config`. Paper: it
    gives no measures. Ours: (1) the distance of Kolmogorov and Smirnov between the norms of two tasks, each gate
    brought to [0, 1]; (2) Kendall's tau between a gate's number and its mean and variance, with the exact one-sided p;
    (3) the share of gates in which the mean over the maps is the larger one. Two trainings for one task would differ
    somewhat too: (1) does not say how much of a distance is the task's. Raises ValueError for a network without both
    kinds of memory.
    """
    if not (config.long_term and config.short_term and config.recursions > 1 and config.blocks > 1):
        raise ValueError(f"the observations compare long-term with short-term memories, which {config} has not both")
    rows = differing_tasks(norms)
    for task, v in norms.items():
        rows += [*falling_moments(task, v), *strongest_memories(task, memory_norms(v, config))]
    table = pd.DataFrame(rows, columns=["observation", "where", "measure", "value", "p", "verdict"])
    table.insert(1, "claim", table.observation.map(OBSERVATIONS))
    return table.sort_values("observation", kind="stable", ignore_index=True)


def verdict(holds: bool) -> str:
    """The words for an observation of section 5.3."""
    return "holds" if holds else "does not hold"


def differing_tasks(norms: dict[str, list[np.ndarray]]) -> list[tuple]:
    """Observation 1, for each pair of tasks: holds when more than half of the gates differ at p < 0.01 / gates."""
    measure = "Kolmogorov-Smirnov distance, mean over gates"
    if len(norms) < 2:
        return [("1", ", ".join(norms), measure, np.nan, np.nan, "needs two tasks")]
    rows = []
    for one, other in combinations(norms, 2):
        pairs = zip(norms[one], norms[other], strict=True)
        tests = [stats.ks_2samp(to_unit(a, a), to_unit(b, b)) for a, b in pairs]
        distance, p = np.mean([t.statistic for t in tests]), np.median([t.pvalue for t in tests])
        differ = sum(t.pvalue < 0.01 / len(tests) for t in tests)
        rows.append(("1", f"{one}, {other}", measure, distance, p, verdict(differ > len(tests) / 2)))
    return rows


def falling_moments(task: str, norms: list[np.ndarray]) -> list[tuple]:
    """Observation 2, for mean and variance: holds when they fall with the block's number at p < 0.05."""
    rows = []
    for name, moment in (("mean", np.mean), ("variance", np.var)):
        values = [moment(v) for v in norms]
        tau, p = stats.kendalltau(range(len(values)), values, alternative="less", method="exact")
        words = verdict(p < 0.05) if len(values) > 3 else "needs four blocks"
        rows.append(("2", task, f"{name} against block, Kendall's tau", tau, p, words))
    return rows


def strongest_memories(task: str, memories: pd.DataFrame) -> list[tuple]:
    """Observation 3: each half holds when it is true in more than half of the gates it speaks of."""
    kinds = memories.groupby(["block", "kind"])["mean"].mean().unstack()
    last = kinds["last"] > kinds[["long-term", "short-term"]].max(axis=1)
    later = kinds[kinds.index > len(kinds) / 2]
    long = later["long-term"] > later["short-term"]
    return [
        ("3a", task, "share of gates", last.mean(), np.nan, verdict(last.mean() > 0.5)),
        (
            "3b",
            task,
            f"share of gates {later.index[0]} to {later.index[-1]}",
            long.mean(),
            np.nan,
            verdict(long.mean() > 0.5),
        ),
    ]
