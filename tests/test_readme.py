"""The commands of the README, and the snippets of README and CONTRIBUTING, do what they say."""

import re
import shlex

import click
import numpy as np
import pytest
import torch
import typer.main
from typer.testing import CliRunner

from memnet import cli, paths
from memnet.protocol import images

README, CONTRIBUTING = ((paths.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README + CONTRIBUTING, re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`((?:\.venv/bin/)?memnet [a-z][^`\n]*|make [a-z-]+)`", README)
LINES = [line.split("  #")[0].strip() for kind, text in BLOCKS if kind != "python" for line in text.splitlines()]
COMMANDS = [line.removeprefix(".venv/bin/") for line in [*LINES, *INLINE]]
MEMNET = sorted({line for line in COMMANDS if line.startswith("memnet ")})
CHEAP = ("memnet --help", "memnet reproduce --list", "memnet data list", "memnet runs")
SNIPPETS = [text for kind, text in BLOCKS if kind == "python"]


def parsed(words):
    """The context of a command line, parsed but not run; click.UsageError where a name or an option is unknown."""
    command, context = typer.main.get_command(cli.app), None
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        context = click.Context(command, info_name=words[0], parent=context)
        if len(words) < 2 or words[1].startswith("-"):
            return context
        words = words[1:]
        command = command.get_command(context, words[0])
        if command is None:
            raise click.UsageError(f"no command {words[0]}")
    if len(words) == 1:
        return context
    try:
        return command.make_context(words[0], words[1:], parent=context)
    except Exception as error:
        if type(error).__name__ == "MissingParameter":  # the text names an option without the rest of the command
            return context
        raise


def test_there_are_commands_and_snippets():
    assert len(MEMNET) > 5
    assert len(SNIPPETS) == 2


@pytest.mark.parametrize("line", MEMNET)
def test_commands_of_the_readme_are_understood(line):
    parsed(shlex.split(line))


@pytest.mark.parametrize("line", ["memnet restroe a.png", "memnet runs --nothing", "memnet data fecth"])
def test_a_command_that_is_not_there_would_be_found(line):
    with pytest.raises(Exception, match=r"(?i)no (such )?(command|option)"):
        parsed(shlex.split(line))


def test_make_targets_of_the_readme_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (paths.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {line.split()[1] for line in COMMANDS if line.startswith("make ")}
    assert named
    assert named <= targets


@pytest.mark.parametrize("line", CHEAP)
def test_cheap_commands_run(line):
    result = CliRunner().invoke(cli.app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output


class Smoothing(torch.nn.Module):
    """A method of one's own, with `forward` and `predictions`."""

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)

    def predictions(self, x):
        return self(x), [self(x)]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_run_on_the_embedded_set(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images.write_picture(tmp_path / "small.png", np.full((24, 30, 3), 90, np.uint8))
    exec(snippet.replace('"Classic5"', '"embedded"'), {"my_network": Smoothing()})
