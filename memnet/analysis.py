"""What the paper reads out of a network: its size, its gates (sec. 5.3, fig. 5), its spectra (sec. 3.4, fig. 4)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from scipy import ndimage, stats
from torch import nn

from memnet import degradations, evaluation, restoration
from memnet.inference import inference_form
from memnet.model import Config, MemNet, StackConfig, build

# ---------------------------------------------------------------------------------------------------------------- size


def parameters(network: Config | StackConfig | nn.Module) -> dict[str, int]:
    """How many numbers a network learns: convolution_weights (the paper's count), biases, norms, output_weights, total.

    `norms` are the batch norms' scales and shifts, `output_weights` the w_m of eq. 11.
    """
    if not isinstance(network, nn.Module):
        with torch.device("meta"):  # shapes only
            network = build(network)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    counts = {
        "convolution_weights": sum(layer.weight.numel() for layer in convolutions),
        "biases": sum(layer.bias.numel() for layer in convolutions),
        "norms": sum(norm.weight.numel() + norm.bias.numel() for norm in norms),
        "output_weights": network.output_weights.numel() if hasattr(network, "output_weights") else 0,
    }
    return counts | {"total": sum(counts.values())}


def layer_table(config: Config | StackConfig) -> pd.DataFrame:
    """One row a convolution, from x to y: where it is, its kernel, maps in and out, and how often a pass applies it.

    `weights`, `biases` and `norms` (of the batch norms before it) are learned numbers; `operations` are multiply-adds
    for each pixel of the picture, over all its applications.
    """
    rows = memnet_layers(config) if isinstance(config, Config) else stack_layers(config)
    table = pd.DataFrame(rows, columns=["layer", "equation", "kernel", "inputs", "outputs", "applied", "norm_sets"])
    table["weights"] = table.kernel**2 * table.inputs * table.outputs
    table["biases"] = table.outputs
    table["norms"] = 2 * table.inputs * table.norm_sets
    table["operations"] = table.weights * table.applied
    return table.drop(columns="norm_sets")


def memnet_layers(config: Config) -> list[tuple]:
    """(layer, equation, kernel, inputs, outputs, times applied, sets of norms) of a MemNet's convolutions, in order."""
    c, r = config.channels, config.recursions
    outputs = config.blocks if config.multi_supervised else 1
    rows = [("FENet", "1", 3, 1, c, 1, 1)]
    for m in range(1, config.blocks + 1):
        rows.append((f"block {m}, W1", "6", 3, c, c, r, r))
        rows.append((f"block {m}, W2", "6", 3, c, c, r, r))
        rows.append((f"block {m}, gate", "9", 1, c * len(config.gate_sources(m)), c, 1, 1))
    return [*rows, ("ReconNet", "11" if config.multi_supervised else "3", 3, c, 1, outputs, outputs)]


def stack_layers(config: StackConfig) -> list[tuple]:
    """The same of a network of fig. 1 (a) or (b)."""
    c = config.channels
    middle = [(f"layer {i}", "", 3, c, c, 1, 1) for i in range(1, config.layers + 1)]
    return [("FENet", "1", 3, 1, c, 1, 1), *middle, ("ReconNet", "3", 3, c, 1, 1, 1)]


def operations(config: Config | StackConfig, height: int, width: int) -> int:
    """Multiply-adds of all convolutions in one pass over a picture of height x width pixels, padding included."""
    return int(layer_table(config).operations.sum()) * height * width


def visible_luma(network: nn.Module) -> tuple[float, float]:
    """The lumas between which FENet lets a pixel through, in grey levels; what lies outside, its ReLU makes zero.

    FENet normalises and rectifies the picture itself, one channel, before its convolution (eq. 1), so that a scale that
    is not zero leaves one end open: it is infinite.
    """
    norm = network.fenet[0]
    learnt = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    scale, shift, mean, variance = (float(tensor.detach()) for tensor in learnt)
    edge = 255 * (mean - shift / scale * (variance + norm.eps) ** 0.5)
    return (edge, np.inf) if scale > 0 else (-np.inf, edge)


def growth(config: Config) -> pd.DataFrame:
    """What each prediction y_m costs: the network up to block m by its `parameters_k` and `operations` per pixel.

    These are the abscissae of fig. 6: thousands of convolution weights of the same network with m blocks.
    """
    shorter = {m: replace(config, blocks=m) for m in range(1, config.blocks + 1)}
    return pd.DataFrame(
        {
            "block": list(shorter),
            "parameters_k": [parameters(c)["convolution_weights"] / 1000 for c in shorter.values()],
            "operations": [operations(c, 1, 1) for c in shorter.values()],
        }
    )


def seconds(
    config: Config | StackConfig, *, height: int = 288, width: int = 288, repeats: int = 3, device: str = "cpu"
) -> float:
    """The shortest of `repeats` times that an untrained network of `config` takes for one picture on `device`."""
    model = inference_form(build(config).eval().to(device))
    plane = np.random.default_rng(0).random((height, width))
    return fastest(lambda: restoration.predict(model, plane), device, repeats=repeats)


def fastest(work: Callable[[], object], device: torch.device | str = "cpu", *, repeats: int = 3) -> float:
    """The shortest of `repeats` times in seconds that `work` takes on `device`, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def wait(device: torch.device | str) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(
    device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, size: int | None = None
) -> float:
    """Multiply-adds per second of a machine's own product of two `size` x `size` matrices: what can be had at most.

    Unless given, `size` is 2048, and 8192 on a GPU: there a smaller product is over before it has been waited for.
    """
    size = size or (8192 if torch.device(device).type == "cuda" else 2048)
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return size**3 / fastest(lambda: one @ other, device, repeats=10)


# --------------------------------------------------------------------------------------------------------------- gates

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


# ------------------------------------------------------------------------------------------------------------- spectra

BANDS = {"low": (0, 1 / 6), "mid": (1 / 6, 1 / 3), "high": (1 / 3, 1 / 2)}  # cycles per pixel; thirds of the circle
CLAIMS = {  # section 3.4 on fig. 4 (c), from left to right, in our words
    "NL4 - NL6": ("mid", "without long-term memory a later block loses mid frequencies that an earlier one has"),
    "Mem6 - Mem4": ("mid", "with it, a later block keeps what the earlier one carries and adds mid frequencies"),
    "Mem4 - NL4": ("all", "in earlier blocks the two networks are alike"),
    "Mem6 - NL6": ("high", "in the end MemNet has more of the high frequencies"),
}


def spectral_density(image: np.ndarray, circles: int | None = None) -> np.ndarray:
    """Power of an image (H, W) from low to high frequency: its centred power spectrum averaged over concentric circles.

    Element k is the mean of |F|^2 / (H W) over the frequencies (cycles per pixel, both axes alike) at a distance of
    k / (2 K) from the centre, rounded to k = 0 .. K: 0 is the mean's, K the Nyquist frequency, 1/2. K is `circles`, or
    half the shorter side. The unit is the image's, squared; white noise of variance s^2 gives s^2 everywhere. No window
    is applied, no logarithm taken. Raises ValueError for more circles than the image resolves.
    """
    if image.ndim != 2:
        raise ValueError(f"a spectral density is that of one plane (H, W), got shape {image.shape}")
    resolved = min(image.shape) // 2
    circles = resolved if circles is None else circles
    if not 0 <= circles <= resolved:
        raise ValueError(f"an image of {image.shape} resolves {resolved} circles, got {circles}: ask for fewer")
    power = np.fft.fftshift(np.abs(np.fft.fft2(image)) ** 2) / image.size
    radius = np.hypot(*np.ix_(*(np.fft.fftshift(np.fft.fftfreq(n)) for n in image.shape)))
    circle = np.floor(2 * circles * radius + 0.5).astype(int).ravel()
    inside = circle <= circles  # the corners lie beyond the last circle
    return np.bincount(circle[inside], power.ravel()[inside]) / np.bincount(circle[inside])


def frequencies(circles: int) -> np.ndarray:
    """The frequency, in cycles per pixel, of each element of a spectral density with so many circles."""
    return np.linspace(0, 0.5, circles + 1)


def prediction_spectra(
    models: dict[str, MemNet],
    pictures: Sequence,
    *,
    task: str,
    level: int,
    blocks: tuple[int, ...] = (4, 6),
    circles: int = 64,
    progress: bool = True,
) -> dict[str, np.ndarray]:
    """Spectral densities (pictures, circles + 1) of the predictions y_m, m in `blocks`, by the name of model and block.

    Models {"Mem": ..., "NL": ...} give Mem4, Mem6, NL4, NL6 (fig. 4); "original" and "input" come with them. `pictures`
    are those of `datasets.pictures`, degraded at `level` of `task` as their protocol says. Raises ValueError for a
    block whose prediction a model does not make.
    """
    for name, model in models.items():
        if len(model.reconnet.norms) < max(blocks):
            raise ValueError(f"{name} makes {len(model.reconnet.norms)} predictions, and y_{max(blocks)} is asked for")
    found: dict[str, list[np.ndarray]] = {}
    for picture in evaluation.watched(pictures, f"spectra at {level}", progress=progress):
        original, degraded = degradations.degrade(picture.plane, task=task, level=level, key=picture.name)
        planes = {"original": original, "input": degraded}
        for name, model in models.items():
            _, predictions = restoration.predict(model, degraded)
            planes |= {f"{name}{m}": predictions[m - 1] for m in blocks}
        for name, plane in planes.items():
            found.setdefault(name, []).append(spectral_density(plane, circles))
    return {name: np.stack(densities) for name, densities in found.items()}


def decibels(density: np.ndarray) -> np.ndarray:
    """10 log10 of a density: one scale for all frequencies, over which a picture's power falls by millions."""
    return 10 * np.log10(np.maximum(density, np.finfo(float).tiny))


def relative(densities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Densities (..., circles + 1) in dB against the one called "original", which is 0 everywhere."""
    return {name: decibels(density) - decibels(densities["original"]) for name, density in densities.items()}


def spectral_differences(densities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The four differences of fig. 4 (c) in dB, (pictures, circles + 1) each, from densities Mem4, Mem6, NL4, NL6.

    Paper: it does not say in what unit the densities are drawn. In dB a difference is a ratio of powers, 3 dB twice.
    """
    return {
        pair: decibels(densities[one]) - decibels(densities[other])
        for pair in CLAIMS
        for one, other in [pair.split(" - ")]
    }


def clearest(densities: dict[str, np.ndarray]) -> int:
    """The number of the picture that shows best what fig. 4 is about: the largest Mem6 - NL6 at high frequencies."""
    return int(band(spectral_differences(densities)["Mem6 - NL6"], "high").mean(axis=1).argmax())


def band(density: np.ndarray, name: str) -> np.ndarray:
    """The elements of densities (..., circles + 1) that lie in a band: low, mid, high, or all but the mean."""
    f = frequencies(density.shape[-1] - 1)
    low, high = BANDS.get(name, (0, 0.5))
    return density[..., (f > low) & (f <= high)]


def claims(densities: dict[str, np.ndarray]) -> pd.DataFrame:
    """The four claims of section 3.4 as numbers: difference, band, claim, decibels, low, high, pictures, verdict.

    `decibels` is the difference of densities, meant over the circles of the band and then over pictures; `low` and
    `high` are its 95 % interval over pictures (Student's t). Claims 1, 2, 4 are supported when the interval lies
    above 0. Claim 3 (alike) takes the difference without its sign, and is supported when the interval lies below the
    difference of claim 4: what is called alike has to be closer than what is called different. Paper: it shows one
    picture and no interval; bands, unit and this limit are ours. One picture has no verdict.
    """
    rows, differences = [], spectral_differences(densities)
    limit = band(differences["Mem6 - NL6"], CLAIMS["Mem6 - NL6"][0]).mean()
    for pair, difference in differences.items():
        name, claim = CLAIMS[pair]
        values = band(np.abs(difference) if name == "all" else difference, name).mean(axis=-1)
        mean, low, high = interval(values)
        supported = high < limit if name == "all" else low > 0
        words = "supported" if supported else "not supported"
        rows.append(
            (pair, name, claim, mean, low, high, len(values), words if len(values) > 1 else "one picture: open")
        )
    columns = ["difference", "band", "claim", "decibels", "low", "high", "pictures", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def paired(rows: pd.DataFrame, one: str, others: Sequence[str]) -> pd.DataFrame:
    """How much better (dB) a run is than `others` on the same pictures: one, other, dataset, level, pictures, decibels.

    `rows` are tidy rows; `decibels` is the mean of the differences of PSNR, `low` and `high` its 95 % interval over
    pictures (Student's t), `verdict` better or worse where that leaves 0 out, else undecided. Another training of the
    same network would differ too: the interval does not know by how much.
    """
    columns = ["one", "other", "dataset", "level", "pictures", "decibels", "low", "high", "verdict"]
    key, found = ["dataset", "level", "image"], []
    for other in others:
        both = rows[rows.run == one].merge(rows[rows.run == other], on=key, suffixes=("", "_other"))
        for (dataset, level), group in both.groupby(["dataset", "level"], sort=False):
            mean, low, high = interval((group.psnr - group.psnr_other).to_numpy())
            words = "better" if low > 0 else "worse" if high < 0 else "undecided"
            found.append((one, other, dataset, level, len(group), mean, low, high, words))
    return pd.DataFrame(found, columns=columns)


def interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of `values` (n, ...) over n and the ends of its interval by Student's t; the ends are NaN for n = 1."""
    mean, n = np.mean(values, axis=0), len(values)
    if n < 2:
        return mean, mean * np.nan, mean * np.nan
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * np.std(values, axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


# ---------------------------------------------------------------------------------------------------------------- crops


def detail_box(reference: np.ndarray, size: int = 64) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the window of `size` x `size` with the most detail in a plane (H, W).

    Detail is the mean squared gradient, so that the crop of a figure is chosen by the reference alone and favours no
    method. The window shrinks with a picture that is smaller.
    """
    height, width = (min(size, n) for n in reference.shape)
    plane = reference.astype(float)
    gradient = sum(ndimage.sobel(plane, axis) ** 2 for axis in (0, 1))
    total = np.pad(gradient, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return int(top), int(left), height, width
