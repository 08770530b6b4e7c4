"""The gate units of a network: weight norms (sec. 5.3, fig. 5), and what each memory is worth beside its norm."""

from collections.abc import Iterator
from itertools import combinations, islice

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from memnet.network.folded import InferenceNet, Workspace, inference_form
from memnet.network.growth import grow
from memnet.network.model import Config, MemNet
from memnet.network.runtime import device_of
from memnet.protocol import metrics, tasks
from memnet.protocol.datasets import Picture
from memnet.restoration import tiling
from memnet.study import analysis, registry, store

KINDS = ("long-term", "short-term", "last")  # B_0 .. B_{m-1}; H^1 .. H^{R-1}; H^R
MEASURES = {  # column: what it is called
    "norm": "norm",
    "ratio": "norm / initialisation",
    "contribution": "contribution",
    "psnr_lost": "PSNR lost (dB)",
}
OBSERVATIONS = {  # section 5.3 in our words
    "1": "different tasks have different distributions of the norms",
    "2": "mean and variance of the norms fall as the number of the memory block rises",
    "3a": "the last recursion H^R contributes more than the mean of the others and than that of the long-term memories",
    "3b": "in later blocks long-term memory contributes more than the recursions before the last",
}


def gate_norms(model: MemNet) -> list[np.ndarray]:
    """v_m for m = 1 .. M (fig. 5): the l2 norm, over the filters, of gate m's weights for each of its L_m input maps.

    The maps are in the gate's order: long-term memory B_0 .. B_{m-1}, then H^1 .. H^R, `channels` maps each. Raises
    ValueError for a network without gates.
    """
    if not isinstance(model, MemNet):
        raise ValueError(f"gate norms are those of a MemNet, and {type(model).__name__} has no gate units")
    weights = [block.gate_unit[-1].weight.detach().cpu().double() for block in model.blocks]
    return [torch.linalg.vector_norm(weight, dim=(0, 2, 3)).numpy() for weight in weights]


def normalised(norms: list[np.ndarray]) -> list[np.ndarray]:
    """The norms of all gates of a network on one scale: its least is 0 and its largest 1 (ones where all are equal)."""
    # Paper: normalised to [0, 1] "for better visualization", and not said over what. One scale for each gate would
    # hide observation 2.
    every = np.concatenate(norms)
    least, largest = every.min(), every.max()
    return [(v - least) / (largest - least) if largest > least else np.ones_like(v) for v in norms]


def initial_norm(config: Config, block: int) -> float:
    """The norm that He's initialisation gives to each map of gate m = `block`: sqrt(2 C / L_m), in the root mean."""
    return (2 / len(config.gate_sources(block))) ** 0.5


def kind_of(memory: str, config: Config) -> str:
    """Whether a memory B_0 .. or H^1 .. H^R is long-term, short-term, or the last recursion."""
    return "long-term" if memory[0] == "B" else "last" if memory == f"H{config.recursions}" else "short-term"


def memory_norms(norms: list[np.ndarray], config: Config) -> pd.DataFrame:
    """Means of the norms over the maps of each memory: block, memory, kind, norm, low, high, initial, ratio.

    `low` and `high` are the mean's 95 % bootstrap interval over the maps, `initial` what initialisation gives, `ratio`
    is norm / initial: only what differs from 1 was learnt.
    """
    tables, rng = [], np.random.default_rng(0)
    for m, v in enumerate(norms, start=1):
        memories = config.gate_sources(m)
        maps = v.reshape(len(memories), -1)
        interval = stats.bootstrap((maps,), np.mean, axis=1, method="percentile", n_resamples=1000, rng=rng)
        table = pd.DataFrame({"block": m, "memory": memories, "norm": maps.mean(axis=1)})
        table["kind"] = [kind_of(memory, config) for memory in memories]
        table["low"], table["high"] = interval.confidence_interval
        tables.append(table.assign(initial=initial_norm(config, m), ratio=table.norm / initial_norm(config, m)))
    order = ["block", "memory", "kind", "norm", "low", "high", "initial", "ratio"]
    return pd.concat(tables, ignore_index=True)[order]


def by_kind(memories: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The mean of a measure over the memories of each kind, a row a block: columns KINDS.

    Raises ValueError where a network has not memories of each kind.
    """
    missing = [kind for kind in KINDS if kind not in set(memories.kind)]
    if missing:
        raise ValueError(f"fig. 5 compares {', '.join(KINDS)} memories, and this network has no {missing[0]} ones")
    return memories.groupby(["block", "kind"])[measure].mean().unstack()[list(KINDS)]


def kind_table(memories: pd.DataFrame) -> pd.DataFrame:
    """Mean norm, contribution and PSNR lost over the memories of each kind (of `worth`): a row a gate and kind."""
    columns = [measure for measure in MEASURES if measure in memories]
    return memories.groupby(["block", "kind"], sort=False)[columns].mean().reset_index()


def growth_norms(run: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`memory_norms` of a run when it got its recursions, and now; ValueError for one that had all from the start."""
    parent = registry.experiment(run).parent
    if parent is None:
        raise ValueError(f"{run} had all recursions from the start: name a run that was grown")
    now = registry.load(run)
    grown = grow(registry.load(parent), now.config.recursions)
    return memory_norms(gate_norms(grown), now.config), memory_norms(gate_norms(now), now.config)


# What a memory is worth


def measure_image(model: nn.Module, image: Picture, *, task: str, level: int) -> pd.DataFrame:
    """What each memory is worth to each gate for one image: image, block, memory, contribution, psnr_lost.

    `contribution` is the rms, over maps and pixels, of what the memory adds to B_m, about its mean over pixels, divided
    by the rms of B_m about its own. `psnr_lost` (dB) is the PSNR of y minus that of the y that is computed when this
    memory, in this gate alone, is replaced by its mean over pixels. Raises ValueError for a network without gates.
    """
    net = inference_form(model)
    if not isinstance(net, InferenceNet):
        raise ValueError(f"memories are those of a MemNet, and {type(model).__name__} has no gate units")
    scored = tasks.task(task)
    reference, degraded = scored.degrade(image.pixels, level, key=image.name)
    runner = Ablations(net, degraded)

    def psnr(memories: list[Tensor]) -> float:
        y, _ = runner.predictions(memories)
        return metrics.psnr(*scored.compared(reference, tiling.as_array(y), level))

    whole = psnr(runner.memories)
    rows = [
        (m, memory, share, whole - psnr([*runner.memories[:m], replaced]))
        for m in range(1, net.config.blocks + 1)
        for memory, share, replaced in runner.gate(m)
    ]
    table = pd.DataFrame(rows, columns=["block", "memory", "contribution", "psnr_lost"])
    table.insert(0, "image", image.name)
    return table


class Ablations:
    """The memories [B_0 .. B_M] of an image (H, W) in a network, and what becomes of y when one is left out."""

    @torch.inference_mode()
    def __init__(self, net: InferenceNet, image: np.ndarray):
        self.net, self.x = net, torch.from_numpy(image.astype(np.float32))[None, None].to(device_of(net))
        first = net.first(self.x)
        self.space = Workspace(first)
        self.memories = net.memories([first], self.space)

    @torch.inference_mode()
    def predictions(self, memories: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """y and [y_1 .. y_M], each (1, 1, H, W), from [B_0 .. B_m] (eqs. 11, 3); the basic network has [y] alone."""
        return self.net.reconstruction(self.net.memories(memories, self.space), self.x, self.space)

    @torch.inference_mode()
    def source(self, m: int, place: int) -> Tensor:
        """The memory at `place`, from 0, among those that gate m takes; no recursion after it is computed."""
        return next(islice(self.net.sources(m - 1, self.memories[:m], self.space), place, None))

    @torch.inference_mode()
    def without(self, m: int, place: int) -> Tensor:
        """B_m when gate m has zero weights for its memory at `place`: what that memory adds is taken away."""
        part, added = self.net.gates[m - 1].memories[place], torch.zeros_like(self.memories[m])
        part.add_to(added, self.source(m, place), self.space.work)
        return self.memories[m] - added - part.bias.view(1, -1, 1, 1)

    @torch.inference_mode()
    def gate(self, m: int) -> Iterator[tuple[str, float, Tensor]]:
        """For each memory of gate m: its name, its contribution, and B_m when its mean over pixels replaces it."""
        total = self.memories[m]
        spread = total.var(dim=(2, 3), correction=0).mean()
        gate, names = self.net.gates[m - 1], self.net.config.gate_sources(m)
        sources = self.net.sources(m - 1, self.memories[:m], self.space)
        for name, part, memory in zip(names, gate.memories, sources, strict=True):
            mean = memory.mean(dim=(2, 3), keepdim=True).contiguous(memory_format=torch.channels_last)
            added, flat = torch.zeros_like(total), torch.zeros_like(mean)
            part.add_to(added, memory, self.space.work)
            part.add_to(flat, mean, torch.empty_like(mean))
            share = (added.var(dim=(2, 3), correction=0).mean() / spread).sqrt().item()
            yield name, share, total - added + flat


def measured_on(run: str, images: str) -> tuple[str, int]:
    """Data set and level at which memories of a run are left out: its task's first set (or embedded), middle level.

    Raises ValueError for a network that has not each kind of memory, before anything is measured.
    """
    config = registry.experiment(run).config
    if not (getattr(config, "long_term", False) and config.short_term and config.recursions > 1):
        raise ValueError(f"{run} has not each kind of memory: fig. 5 needs long-term memory and several recursions")
    task = registry.experiment(run).task
    levels = tasks.task(task).levels
    return registry.sets_of(task, images)[0], levels[(len(levels) - 1) // 2]


def worth(run: str, dataset: str, level: int, *, limit: int | None = None, fresh: bool = False) -> pd.DataFrame:
    """`memory_norms` of a run with `contribution` and `psnr_lost` (see `measure_image`), averaged over images.

    Rows by image are stored, and measured where they are not.
    """
    model = registry.load(run)
    norms = memory_norms(gate_norms(model), model.config)
    rows = store.image_rows("gates", run, dataset, level, measure_image, limit=limit, fresh=fresh)
    means = rows.groupby(["block", "memory"], sort=False)[["contribution", "psnr_lost"]].mean().reset_index()
    return norms.merge(means, on=["block", "memory"], validate="one_to_one").assign(images=rows.image.nunique())


# The observations of section 5.3


def observations(norms: dict[str, list[np.ndarray]], memories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The observations of section 5.3 as numbers: a row for each observation, measure and network.

    `norms` (of `gate_norms`) and `memories` (of `worth`) are those of one network a task, by its run. Columns:
    observation, claim, measure, where, statistic, value, p, paper (its word: it judges by the norms and gives no
    statistic), verdict. Ours: (1) the distance of Kolmogorov and Smirnov between the norms of two networks, each on its
    own scale; (2) Kendall's tau between a gate's number and mean or variance of the measure, with the exact one-sided
    p; (3) the share of gates in which the mean over memories is the larger one. Two trainings for one task would differ
    too: (1) does not say how much of a distance is the task's. Raises ValueError for a network that has not each kind
    of memory.
    """
    rows = differing_tasks(norms)
    for run, table in memories.items():
        rows.append(("2", "norm", run, *falling("variance", [v.var() for v in norms[run]])))
        for measure, name in MEASURES.items():
            kinds = by_kind(table, measure)
            rows.append(("2", name, run, *falling("mean", table.groupby("block")[measure].mean())))
            if measure != "ratio":  # within a gate as the norm
                rows += [(number, name, run, *row) for number, row in strongest_memories(kinds).items()]
    table = pd.DataFrame(rows, columns=["observation", "measure", "where", "statistic", "value", "p", "verdict"])
    table.insert(1, "claim", table.observation.map(OBSERVATIONS))
    table.insert(len(table.columns) - 1, "paper", "supported")
    return table.sort_values("observation", kind="stable", ignore_index=True)


def differing_tasks(norms: dict[str, list[np.ndarray]]) -> list[tuple]:
    """Observation 1, for each pair of networks: supported when most gates differ at p < 0.01 / gates, else undecided.

    It is never "not supported": no such test shows that two distributions are the same.
    """
    rows = []
    scaled = {run: normalised(v) for run, v in norms.items()}
    for one, other in combinations(scaled, 2):
        tests = [stats.ks_2samp(a, b) for a, b in zip(scaled[one], scaled[other], strict=True)]
        distance, p = np.mean([t.statistic for t in tests]), np.median([t.pvalue for t in tests])
        differ = sum(t.pvalue < 0.01 / len(tests) for t in tests)
        statistic = "Kolmogorov-Smirnov distance, mean over gates"
        verdict = "supported" if differ > len(tests) / 2 else "undecided"
        rows.append(("1", "norm", f"{one}, {other}", statistic, distance, p, verdict))
    return rows


def falling(moment: str, values: pd.Series | list[float]) -> tuple:
    """Observation 2: supported when the values of the gates fall with the block's number at p < 0.05.

    Not supported when they rise at p < 0.05, else undecided: six gates seldom decide.
    """
    (tau, p), (_, p_rising) = (
        stats.kendalltau(range(len(values)), list(values), alternative=side, method="exact")
        for side in ("less", "greater")
    )
    verdict = "supported" if p < 0.05 else "not supported" if p_rising < 0.05 else "undecided"
    return f"{moment} against block, Kendall's tau", tau, p, verdict


def strongest_memories(kinds: pd.DataFrame) -> dict[str, tuple]:
    """Observations 3a and 3b: supported when true in more than half of the gates they speak of, undecided in half."""
    last = (kinds["last"] > kinds[["long-term", "short-term"]].max(axis=1)).mean()
    later = kinds[kinds.index > len(kinds) / 2]
    long = (later["long-term"] > later["short-term"]).mean()
    span = f"share of gates {later.index[0]} to {later.index[-1]}"
    return {
        "3a": ("share of gates", last, np.nan, analysis.verdict(last, last, 0.5)),
        "3b": (span, long, np.nan, analysis.verdict(long, long, 0.5)),
    }


def support(observations: pd.DataFrame) -> pd.DataFrame:
    """How many networks (for observation 1: pairs of them) each measure supports an observation with: a row for each.

    Of observation 2 the part about means. `observations` are those of `observations`, with a column `networks` that
    names their kind; columns: networks, observation, claim, paper, and each of MEASURES.
    """
    rows = observations[~observations.statistic.str.startswith("variance")]
    key = ["networks", "observation", "claim", "paper", "measure"]
    held = rows.assign(held=rows.verdict == "supported").groupby(key).held
    counts = held.sum().astype(str) + " of " + held.count().astype(str)
    order = list(dict.fromkeys(rows.networks))
    table = counts.unstack().reindex(columns=list(MEASURES.values())).fillna("").reset_index()
    return table.sort_values("networks", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)
