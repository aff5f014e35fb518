"""What the documents promise exists: commands and their options, tags, settings, strategies, gates, links."""

import re
from pathlib import Path

import click
import pytest

from registry_hooks.gates import GATES
from stagedoor import names
from stagedoor.cli import main
from stagedoor.domain.strategy import KINDS, Strategy
from stagedoor.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
TAGS = {value for name, value in vars(names).items() if name.startswith("TAG_")}
METRICS = {value for name, value in vars(names).items() if name.startswith("METRIC_")}
OF_THE_CONTROLLER = {"stagedoor_controller_leading", "stagedoor_controller_held_up", "stagedoor_decisions_total"}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words call, and the words left over."""
    found: click.Command = main
    while isinstance(found, click.Group) and words and (inner := found.get_command(click.Context(found), words[0])):
        found, words = inner, words[1:]
    return found, words


@each_document
def test_every_command_that_is_named_exists_with_its_options(document: Path) -> None:
    text = document.read_text()
    lines = [
        line.split("#")[0] for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    for line in (*lines, *re.findall(r"`(stagedoor [^`]+)`", text)):
        words = line.split()
        if words[:1] != ["stagedoor"] or "..." in line:
            continue
        command, rest = _command(words[1:])
        assert not isinstance(command, click.Group), line
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, line


@each_document
def test_every_tag_setting_and_metric_that_is_named_exists(document: Path) -> None:
    text = document.read_text()
    gates = {f"{names.TAG_GATE_PREFIX}{gate.name}" for gate in GATES}
    found = set(re.findall(r"`(stagedoor\.(?:[a-z0-9]+\.)?[a-z0-9]+)`", text)) - {"stagedoor.gates", "stagedoor.notifiers"}
    modules = {name for name in found if (ROOT / "platform" / name.replace(".", "/")).exists()}
    modules |= {name for name in found if (ROOT / "platform" / f"{name.replace('.', '/')}.py").exists()}
    assert found - modules - TAGS - gates == set()
    settings = {f"{names.ENV_PREFIX}{name}".upper() for name in Settings.model_fields}
    assert set(re.findall(r"\bSTAGEDOOR_[A-Z0-9_]+[A-Z0-9]", text)) - {"STAGEDOOR_TOKEN"} <= settings
    assert set(re.findall(r"`(stagedoor_[a-z0-9_]+)", text)) <= METRICS | OF_THE_CONTROLLER


def test_every_strategy_that_is_written_out_can_be_read() -> None:
    written = [
        text
        for document in DOCUMENTS
        for text in re.findall(rf"`((?:{'|'.join(KINDS)})(?: [a-z_]+=[^` ]+)*)`", document.read_text())
    ]
    assert {Strategy.parse(text).kind for text in written} == set(KINDS)


def test_the_page_about_promotions_names_every_gate_and_no_other() -> None:
    (table,) = re.findall(r"\| gate \|.*?\n\n", (ROOT / "docs" / "promotions.md").read_text(), re.DOTALL)
    assert [gate.name for gate in GATES] == re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)


def test_the_defaults_of_strategies_that_are_written_are_in_force() -> None:
    (table,) = re.findall(r"\| setting \|.*?\n\n", (ROOT / "docs" / "promotions.md").read_text(), re.DOTALL)
    for row in table.strip().splitlines()[2:]:
        columns = [column.strip() for column in row.strip("|").split("|")]
        keys, values = re.findall(r"`([a-z_]+)`", columns[0]), re.findall(r"`([^`]+)`", columns[1])
        for key, value in zip(keys, values * len(keys) if len(values) == 1 else values, strict=bool(values)):
            assert Strategy.parse(f"canary {key}={value}") == Strategy.parse("canary"), key


@each_document
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert "://" in link or (document.parent / link).exists(), link
