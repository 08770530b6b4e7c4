"""The last step of the workflow: PSNR and SSIM of every run, with their spread over seeds."""

from pathlib import Path

import pandas as pd

KEY = ["run", "task", "dataset", "level"]


def report(files: list[str]) -> pd.DataFrame:
    """One row for each run, data set and level: the number of seeds, and of their mean PSNR (dB) and SSIM mean and std.

    `files` are rows of `memnet evaluate`, each in a folder .../seedN/rows/RUN; a std of one seed is left blank.
    """
    tables = [pd.read_csv(file).assign(seed=Path(file).parents[2].name) for file in files]
    by_seed = pd.concat(tables).groupby([*KEY, "seed"], sort=False)[["psnr", "ssim"]].mean().reset_index()
    spread = by_seed.groupby(KEY, sort=False).agg(
        seeds=("seed", "nunique"),
        psnr=("psnr", "mean"),
        psnr_std=("psnr", "std"),
        ssim=("ssim", "mean"),
        ssim_std=("ssim", "std"),
    )
    return spread.reset_index()


if "snakemake" in globals():
    report(snakemake.input.rows).to_csv(snakemake.output[0], index=False, float_format="%.4f")  # noqa: F821
