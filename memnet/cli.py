"""The command line: memnet restore | evaluate | train | export | reproduce | report | runs | data."""

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from typing import Annotated

import typer

from memnet import __version__

SOME_FAILED = 1  # some images or items failed, the others are done
WRONG_USE = 2  # nothing was done: an unknown name, a missing file, an impossible value
STOPPED = 130  # by Ctrl-C


class Commands(typer.core.TyperGroup):
    """The commands; what the system refuses, such as to write to a full disk, is one sentence and exit code 2."""

    def main(self, *arguments, **options):
        try:
            return super().main(*arguments, **options)  # ends in silence where the reader of the output has enough
        except OSError as error:
            echo_error(f"{error.filename or 'the output or a file'}: {error.strerror or error}")
            sys.exit(WRONG_USE)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""MemNet, reproduced: restore images, and re-make the paper's tables and figures.

Exit codes: 0 everything is done, 1 some images or items failed and the others are done, 2 nothing could be done.""",
)
data = typer.Typer(no_args_is_help=True, help="List, check, fetch and pack the benchmark images.")
app.add_typer(data, name="data")

Task = Annotated[str, typer.Option(help="What to do: denoising, super-resolution (or sr) or jpeg.")]
Level = Annotated[
    int | None, typer.Option(help="How much super-resolution enlarges: 2, 3 or 4. The other tasks take no level.")
]


def exit_with_message(command: Callable) -> Callable:
    """Turn a ValueError into one sentence on stderr and exit code 2.

    A path that begins with ~ is in the home folder: no shell expands that after `=`.
    """

    @wraps(command)
    def wrapped(*arguments, **options):
        try:
            return command(*arguments, **{name: at_home(value) for name, value in options.items()})
        except ValueError as error:
            echo_error(error)
            raise typer.Exit(WRONG_USE) from error

    return wrapped


def at_home(value):
    """An option's value; a path, or those in a list, with ~ replaced by the home folder."""
    if isinstance(value, list):
        return [at_home(part) for part in value]
    return Path(os.path.expanduser(value)) if isinstance(value, Path) else value


@app.callback(invoke_without_command=True)
@exit_with_message
def main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for names that a terminal cannot show
    if version:
        typer.echo(f"memnet {__version__}")
        raise typer.Exit


@app.command()
@exit_with_message
def restore(
    sources: Annotated[
        list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGE...", readable=False)
    ],
    task: Task,
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for the results. It is made if it is missing, and may be the folder of the images. For one "
            "image also the name of a file (.png, .jpg, .tif, .webp).",
            readable=False,
        ),
    ],
    level: Level = None,
    run: Annotated[
        str | None, typer.Option(help="Use another trained network, such as jpeg-M6R6 for qualities 10 and 20.")
    ] = None,
    strength: Annotated[
        float, typer.Option(help="How much is changed: 0 gives the input, 1 the full result.", min=0, max=1)
    ] = 1.0,
    luma_only: Annotated[
        bool,
        typer.Option(
            "--luma-only", help="Restore brightness alone, as in the paper, in a third of the time. Colour noise stays."
        ),
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write NAME-compare.png: before on the left, after on the right.")
    ] = False,
    tile: Annotated[
        str | None,
        typer.Option(help="Restore in tiles of this edge, or 'paper' for the paper's. Default: what fits the memory."),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            help="Overlap of tiles in pixels. Default: exact results. 56 changes no pixel by half a grey level.",
            min=0,
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="float32, or bfloat16: faster on some processors, off by 0.06 to 0.23 grey levels on average."
        ),
    ] = "float32",
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble", help="Take the mean over eight flipped and rotated copies: better, in eight times the time."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace results that are there already.")] = False,
    max_megapixels: Annotated[
        float, typer.Option(help="Larger images are refused. Raise the limit for an image that you trust.", min=0)
    ] = 250,
) -> None:
    """Restore images of your own; results are PNG files named after the task.

    `memnet restore holiday.jpg --task jpeg --output restored`

    `memnet restore small/ --task super-resolution --level 3 --output large`

    Tasks, by what you see. **denoising**: grain and coloured speckle. **jpeg**: squares, and ripples around edges.
    **super-resolution**: small and jagged when enlarged. You need not know the noise level or the JPEG quality.

    The networks learned Gaussian noise, not the noise of a phone's camera, bicubic shrinking and JPEG compression. They
    do not remove blur or motion, and cannot bring back what a phone has already smoothed. They invent no faces and no
    letters.

    A megapixel of the result takes about half a minute on two processor cores. Denoising restores brightness and both
    colour channels, in three times that. JPEG deblocking restores the colours at half their size, in 1.5 times that;
    colours that ran over an edge stay. Super-resolution restores brightness alone.

    Results keep 16 bits, transparency, EXIF, XMP, colour profile and dots per inch.
    """
    from memnet import checks
    from memnet.network import folded
    from memnet.protocol import tasks
    from memnet.restoration import arrays, files
    from memnet.study import registry

    task = tasks.task(task)
    arrays.check_scale(task, level)
    tile = check_tile(tile)
    images, wrong, left_out = files.expand(sources)
    images, results = files.without_results(images, output, task=task, scale=level)
    targets = files.targets_for(images, output, task=task, scale=level)
    model = folded.inference_form(registry.ready(registry.run_for(task, run), precision))
    make_folder(output.parent if files.names_a_file(output) else output)
    for message in wrong + left_out + results:
        echo_error(message)
    total = len(images) + len(wrong)
    restore_one = partial(
        files.restore_file,
        task=task,
        model=model,
        scale=level,
        luma_only=luma_only,
        strength=strength,
        tile=tile,
        overlap=overlap,
        ensemble=ensemble,
        compare=compare,
        overwrite=overwrite,
        max_pixels=int(checks.number("--max-megapixels", max_megapixels, 0, 1e9) * 1e6),
    )
    outcomes = files.restore_all(
        images,
        targets,
        restore=restore_one,
        progress=lambda number, source: progress_of(f"[{number}/{total}] {source}"),
    )
    done = []
    for number, outcome in enumerate(outcomes, start=1):
        done.append(outcome)
        if outcome.error:
            echo_error(outcome.error)
        else:
            remarks = "".join(f" ({remark})" for remark in outcome.result.remarks)
            echo(f"[{number}/{total}] {outcome.source} -> {outcome.target}{remarks}")
    if len(done) > 1:
        for line in ["", *files.summary(done)]:
            echo(line)
    failed = [str(outcome.source) for outcome in done if outcome.error]
    if failed or wrong:
        names = f": {', '.join(failed)}" if failed else ""
        echo_error(f"{len(failed) + len(wrong)} of {total} failed{names}")
        raise typer.Exit(SOME_FAILED)


def echo(message: object) -> None:
    """One line on stdout, if anybody still reads it: what is said after writing is never a failure."""
    try:
        typer.echo(one_line(message))
    except OSError:  # a closed pipe, a full disk
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def echo_error(message: object) -> None:
    """One line on stderr, if there is one."""
    with suppress(OSError):
        typer.echo(one_line(f"memnet: {message}"), err=True)


def one_line(text: object) -> str:
    """Text without its line breaks: names of files may hold some."""
    return " ".join(str(text).splitlines())


def make_folder(folder: Path) -> None:
    """Make a folder for results; ValueError when that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} cannot be made a folder for the results ({error.strerror})") from error


def progress_of(title: str) -> Callable[[float], None]:
    """Show a share that is done on stderr, where that is a terminal."""

    def show(share: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{title[-60:]}: {share:4.0%} ", end="\n" if share >= 1 else "", file=sys.stderr, flush=True)

    return show


@app.command()
@exit_with_message
def evaluate(
    run: Annotated[str, typer.Argument(help="A trained network by name; `memnet runs` lists them.")],
    images: Annotated[Path | None, typer.Option(help="A folder of clean images to degrade and restore.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Or a data set by name: embedded, Set5, S14, Classic5, ...")
    ] = None,
    level: Annotated[
        int | None, typer.Option(help="Noise sigma, scale or JPEG quality. Default: all levels of the task.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this file.")] = None,
    limit: Annotated[int | None, typer.Option(help="Measure only the first images of a data set.", min=1)] = None,
    tile: Annotated[
        str | None,
        typer.Option(help="Restore in tiles of this edge, or 'paper' for the paper's tiles. The rows are not stored."),
    ] = None,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble", help="Take the mean over eight flipped and rotated copies. The rows are not stored."
        ),
    ] = False,
    fresh: Annotated[bool, typer.Option(help="Measure again, and do not use what is stored in data/results.")] = False,
) -> None:
    """Measure PSNR and SSIM of a network on a data set (stored in data/results) or on a folder of images.

    `memnet evaluate sr-M6R6 --dataset Set5 --level 3`

    `memnet evaluate denoising-M6R6 --images photographs --level 50 --csv rows.csv`
    """
    import pandas as pd

    from memnet.protocol import datasets, tasks
    from memnet.study import evaluation, registry, store

    if (images is None) == (dataset is None):
        raise ValueError("give --images FOLDER or --dataset NAME, one of them")
    if images is not None and limit is not None:
        raise ValueError("--limit is for a --dataset: leave it out with --images")
    if csv is not None and csv.is_dir():
        raise ValueError(f"--csv {csv} is a folder: give the name of a file")
    task, wrong = tasks.task(registry.experiment(run).task), []
    levels = task.levels if level is None else (task.check_level(level),)
    tile = check_tile(tile)
    if csv is not None:
        make_folder(csv.parent)  # before the measuring, which would be lost; after what can be wrong
    if images is not None:
        rows_of = partial(evaluation.folder_rows, registry.ready(run), images)
        found = [rows_of(run=run, task=task, level=one, tile=tile, ensemble=ensemble) for one in levels]
        tables, wrong = [table for table, _ in found], [sentence for _, refused in found for sentence in refused]
    elif tile is not None or ensemble:
        rows_of = partial(evaluation.evaluate, registry.ready(run), datasets.pictures(dataset)[:limit])
        tables = [
            rows_of(run=run, task=task, dataset=dataset, level=one, tile=tile, ensemble=ensemble) for one in levels
        ]
    else:
        tables = [store.rows(run, dataset, one, limit=limit, fresh=fresh) for one in levels]
    rows = pd.concat(tables, ignore_index=True)[evaluation.COLUMNS]
    if csv is not None:
        write_csv(csv, rows)
    typer.echo(evaluation.summary(rows).round(4).to_string(index=False))
    for sentence in dict.fromkeys(wrong):
        echo_error(sentence)
    if wrong:
        raise typer.Exit(SOME_FAILED)


def write_csv(path: Path, rows) -> None:
    """Write rows as CSV, whole or not at all; names of files keep their bytes. ValueError when that is not possible."""
    from memnet.paths import atomic_write

    try:
        with atomic_write(path) as partial:
            rows.to_csv(partial, index=False, float_format="%.6f", errors="surrogateescape")
    except OSError as error:
        raise ValueError(f"{path} cannot be written, what was there is kept ({error.strerror or error})") from error


def check_tile(tile: str | None) -> int | str | None:
    """The tile of `restoration.restore_channel` that was asked for."""
    if tile is None or tile == "paper":
        return tile
    if not re.fullmatch("[1-9][0-9]{0,5}", tile):
        raise ValueError(f"a tile is 'paper' or a number of pixels below a million, got {tile!r:.80}")
    return int(tile)


@app.command()
@exit_with_message
def train(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Networks by name; `memnet runs` lists them.")],
    minutes: Annotated[
        float | None,
        typer.Option(help="Time for this command, all networks together. Default: 30, if --steps is not given."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each training. Default: as many as fit in the minutes.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="soap (default), adamw, or paper (SGD as in section 5.1).")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", help="NAME=VALUE: change one setting of the preset, such as seed=1. Can be repeated."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for weights, log and checkpoint. Default: data/weights.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue unfinished trainings, skip finished ones, start the others.")
    ] = False,
    continue_: Annotated[bool, typer.Option("--continue", help="Train finished weights for another stage.")] = False,
    grow: Annotated[
        bool, typer.Option("--grow", help="Add the recursions that a shorter network lacks, and train another stage.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again and replace the files that are there.")
    ] = False,
    eager: Annotated[
        bool, typer.Option("--eager", help="On a GPU, use neither torch.compile nor a CUDA graph.")
    ] = False,
) -> None:
    """Train networks, one after another, within a time. The exit code is 1 while one of them is unfinished.

    `memnet train sr-M6R6-scratch --output mine --minutes 60` makes as many steps as fit in an hour.

    `memnet train sr-plain sr-skip --output mine --steps 30000 --minutes 9 --resume`: repeat this until all are done.

    `memnet train sr-M6R6-scratch --output mine -p recursions=1 --minutes 40`, then `--grow --minutes 20`.

    `memnet train sr-plain --output mine --steps 1500 -p batch=8 -p patch=24` takes minutes on two CPU cores.

    `torchrun --nproc-per-node 4 -m memnet.cli train sr-M6R6-scratch --output mine --minutes 60`: on four GPUs.
    """
    from memnet.study import train_run
    from memnet.training import config as training

    starts = [name for name, given in (("resume", resume), ("continue", continue_), ("grow", grow)) if given]
    if len(starts) > 1:
        raise ValueError(f"--{starts[0]} and --{starts[1]} exclude each other: give one of them")
    if minutes is not None and not 0 <= minutes < 1e6:
        raise ValueError(f"--minutes is from 0 to a million, got {minutes}")
    overrides = training.parse([*(parameter or []), *([] if steps is None else [f"steps={steps}"])])
    planned = "steps" not in overrides
    outcomes = train_run.train_runs(
        runs,
        training.preset(preset or "soap"),
        overrides=overrides if preset is None else {"optimiser": training.preset(preset).optimiser} | overrides,
        start=starts[0] if starts else "fresh",
        minutes=30.0 if planned and minutes is None else minutes,
        plan_steps=planned,
        output=output,
        overwrite=overwrite,
        eager=eager,
    )
    finished = [tell_outcome(run, outcome) for run, outcome in outcomes]
    if not all(finished):
        raise typer.Exit(SOME_FAILED)


def tell_outcome(run: str, outcome) -> bool:
    """Say how the training of a run ended; whether it is finished. On several processes the main one speaks."""
    from memnet.training import distributed

    finished = outcome is not None and outcome.finished
    if not distributed.is_main_process():
        return finished
    if outcome is None:
        typer.echo(f"{run}: no time was left: --resume goes on")
    elif not finished:
        typer.echo(f"{run} stopped at step {outcome.step} of {outcome.steps}: --resume goes on")
    elif not outcome.steps:
        typer.echo(f"{run}: finished before, {outcome.weights}")
    else:
        typer.echo(f"{gain_of(outcome.weights)}\nweights: {outcome.weights}")
    return finished


def gain_of(weights: Path) -> str:
    """The PSNR gain of some weights on the validation set, and whether their last training stage was worth it."""
    from memnet.network import checkpoints
    from memnet.study import registry
    from memnet.training import selection

    stages = registry.own_stages(checkpoints.history(weights))
    gains = [stage["psnr_gain"] for stage in stages]
    message = f"PSNR gain on the validation set: {gains[-1]:+.3f} dB"
    if len(gains) == 1:
        return message
    message += f", {gains[-2]:+.3f} dB before this stage"
    kept = stages[-1]["weights"] == selection.INITIAL_MODEL
    return f"{message}; it gained nothing, the weights are the initial ones" if kept else message


@app.command()
@exit_with_message
def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ITEM]...", help="Items by name (see --list). Default: all.")
    ] = None,
    images: Annotated[
        str, typer.Option(help="embedded, benchmark, or auto: benchmark if they are on disk, else embedded.")
    ] = "auto",
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", help="NAME=VALUE: set a parameter of the notebooks. Each of them must have it."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the files. Default: build/figures.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again, and do not use stored numbers.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="For maintainers: write to figures/, which git tracks.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the items and do nothing else.")] = False,
) -> None:
    """Re-make tables and figures by running their notebooks, and compare them with the committed ones in figures/.

    `memnet reproduce`

    `memnet reproduce fig4 -p level=4 --output mine`
    """
    from memnet.publishing import items, reproduction

    if listing:
        for item in items.ITEMS.values():
            typer.echo(f"{item.name:10} {item.notebook:32} {item.shows}")
        return
    parameters = reproduction.parse_parameters(parameter or [])
    try:
        agrees = reproduction.reproduce(
            names or None, images=images, parameters=parameters, output=output, fresh=fresh, update=update
        )
    except KeyboardInterrupt as error:
        echo_error("stopped; the items that were made before are complete")
        raise typer.Exit(STOPPED) from error
    if not agrees:
        raise typer.Exit(SOME_FAILED)


@app.command()
@exit_with_message
def export(
    run: Annotated[str, typer.Argument(help="A trained network by name; `memnet runs` lists them.")],
    output: Annotated[Path, typer.Option(help="The file to write.")],
    form: Annotated[str, typer.Option("--format", help="The format: onnx.")] = "onnx",
    rgb: Annotated[bool, typer.Option("--rgb", help="Take and give RGB. Default: one channel (luma or gray).")] = False,
) -> None:
    """Write a trained network as an ONNX file, for programs without torch. It takes values in [0, 1] of any image size.

    `memnet export denoising-M6R6-any --format onnx --rgb --output denoising.onnx`

    Networks for super-resolution take the image after bicubic enlargement. With --rgb, denoising restores brightness
    and colour, the other tasks brightness alone.
    """
    from memnet.network import checkpoints
    from memnet.restoration import export as exporting
    from memnet.study import registry

    if form != "onnx":
        raise ValueError(f"unknown format {form!r}: onnx is the one there is")
    model, experiment = registry.load(run), registry.experiment(run)
    make_folder(output.parent)
    metadata = {
        "run": run,
        "task": experiment.task,
        "weights": checkpoints.weights_hash(registry.weights_path(run)),
        "receptive_field_radius": str(model.config.receptive_field_radius),
    }
    channels = exporting.rgb_channels(experiment.task) if rgb else None
    exporting.export_onnx(model, output, channels=channels, metadata=metadata)
    typer.echo(f"{output}: {output.stat().st_size / 2**20:.1f} MiB, opset {exporting.OPSET}")


@app.command()
@exit_with_message
def runs() -> None:
    """List all networks: what each is for, and how long it was trained."""
    from memnet.study import registry

    typer.echo(registry.listing())


@app.command()
@exit_with_message
def why(
    table: Annotated[str, typer.Argument(help="Number of the table: 1 to 6.")],
    dataset: Annotated[str, typer.Argument(help="A data set of the table, or embedded.")],
    level: Annotated[int, typer.Argument(help="Noise sigma, scale or JPEG quality.")],
    method: Annotated[str, typer.Argument(help="The method, as the table names it, or the run of its row.")] = "MemNet",
) -> None:
    """Say where a number of a table comes from: weights, images, protocol, commit, command, date and machine.

    `memnet why 3 S14 30 MemNet`
    """
    from memnet.publishing import why

    typer.echo(why.why(table, dataset, level, method))


@app.command("report", hidden=True)
@exit_with_message
def write_report() -> None:
    """Write figures/REPORT.md and the tables of README.md and data/weights/README.md, from figures/ and the weights."""
    from memnet.publishing import report

    for path in report.write():
        typer.echo(path)


Sets = Annotated[list[str] | None, typer.Argument(help="Data sets by name. Default: all.")]


@data.command("list")
@exit_with_message
def data_list() -> None:
    """List the data sets, what they are for, and whether they are on disk."""
    from memnet.paths import images_root
    from memnet.protocol import datasets

    typer.echo(f"images are looked for in {images_root()} (MEMNET_DATA changes that)")
    typer.echo(f"{'embedded':22} {len(datasets.EMBEDDED):4} images, always there")
    for name, what in datasets.DATASETS.items():
        total, absent = len(datasets.entries(what.folder)), len(datasets.missing(name))
        state = "on disk" if not absent else f"{absent} missing"
        typer.echo(f"{name:22} {total:4} images, {state}")


@data.command("check")
@exit_with_message
def data_check(sets: Sets = None) -> None:
    """Check that the files on disk are the originals (by their SHA-256), and say what is missing."""
    import collections

    from memnet.protocol import datasets

    states = datasets.check(sets or ())
    for row in states:
        if row["state"] == "different":
            typer.echo(f"different: {row['path']}")
    missing = collections.Counter(row["folder"] for row in states if row["state"] == "missing")
    for folder, number in missing.items():
        typer.echo(f"missing: {number} of {folder} (`memnet data fetch {folder}`)")
    counts = collections.Counter(row["state"] for row in states)
    typer.echo(", ".join(f"{number} {state}" for state, number in sorted(counts.items())))
    if counts["ok"] < len(states):
        raise typer.Exit(SOME_FAILED)


@data.command("fetch")
@exit_with_message
def data_fetch(
    sets: Sets = None,
    jobs: Annotated[int, typer.Option(help="How many downloads run at the same time.", min=1, max=64)] = 8,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are not the originals.")] = False,
) -> None:
    """Download the images that are missing, from the public addresses in data/manifest.csv."""
    from memnet.protocol import datasets

    try:
        number = datasets.fetch(sets or (), jobs=jobs, overwrite=overwrite)
    except KeyboardInterrupt as error:
        echo_error("stopped; the files that came are complete, the same command goes on")
        raise typer.Exit(STOPPED) from error
    typer.echo(f"{number} images fetched, all data sets asked for are complete")


@data.command("pack")
@exit_with_message
def data_pack(
    output: Annotated[Path, typer.Option(help="The file to write.")],
    sets: Sets = None,
) -> None:
    """Put data sets into one file for another machine. There, set MEMNET_DATA to this file.

    `memnet data pack T91 BSDS500/train BSD100 Set5 S14 Classic5 --output pack.zip`
    """
    from memnet.protocol import datasets

    make_folder(output.parent)
    size = datasets.pack(output, sets or ())
    typer.echo(f"{output}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    app()
