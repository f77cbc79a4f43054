"""The Chinese README says what the English one says, as far as it can be counted."""

from __future__ import annotations

import re

import pytest

from tests.paths import ROOT

PAGES = ("README.md", "README_cn.md")
PADDLE = {"README.md": "https://www.paddlepaddle.org.cn/en", "README_cn.md": "https://www.paddlepaddle.org.cn/"}
ENGLISH_OF = {
    "docs/cn/installation.md": "docs/installation.md",
    "docs/cn/getting_started.md": "docs/getting_started.md",
    "docs/cn/a2c.md": "docs/algorithms/a2c.md",
    "docs/cn/a3c.md": "docs/algorithms/a3c.md",
    "docs/cn/ga3c.md": "docs/algorithms/ga3c.md",
    "docs/cn/algorithms.md": "docs/algorithms/index.md",
    "docs/cn/atari.md": "docs/atari.md",
    "docs/cn/atari.md#成绩": "docs/atari.md#scores",
    "docs/cn/cluster.md": "docs/cluster.md",
    "docs/cn/own_environment.md": "docs/api/own_environment.md",
    "docs/cn/own_network.md": "docs/networks.md#your-own-network",
}
"""The English page, or part of one, that each Chinese page stands for."""
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(page: str) -> list[tuple[str, str]]:
    """The language and the text of each fenced block that is to be run."""
    return [(language, text) for language, text in FENCED.findall(page) if language]


def tree(page: str) -> list[str]:
    """The folders and files of the block that shows where things are, without what is said of them."""
    (text,) = [text for language, text in FENCED.findall(page) if not language]
    return re.findall(r"^\S+|\w+\.py", text, re.MULTILINE)


def headings(page: str) -> list[str]:
    """The level of each heading, as its signs."""
    return re.findall(r"^(#+) ", FENCED.sub("", page), re.MULTILINE)


def rows(page: str) -> list[str]:
    return re.findall(r"^\|.*\|$", FENCED.sub("", page), re.MULTILINE)


def links(page: str) -> list[str]:
    """Where links and pictures lead, a Chinese page as its English one, but for what is there in either language."""
    found = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page))
    return sorted({ENGLISH_OF.get(link, link) for link in found} - {*PAGES, *PADDLE.values()})


def numbers(row: str) -> list[list[str]]:
    """The numbers in each cell."""
    return [re.findall(r"-?\d+(?:[.,]\d+)*", cell) for cell in row.split("|")]


@pytest.mark.parametrize("part", [fenced, tree, headings, links])
def test_both_languages_have_the_same(part):
    english, chinese = (part(read(name)) for name in PAGES)
    assert english, "nothing found to compare"
    assert chinese == english


def test_each_language_leads_to_the_other():
    assert "](README_cn.md)" in read("README.md") and "](README.md)" in read("README_cn.md")


def test_each_language_leads_to_paddles_site_in_the_same():
    for name, address in PADDLE.items():
        assert f"]({address})" in read(name)


def test_the_tables_have_the_same_rows_and_numbers():
    english, chinese = (rows(read(name)) for name in PAGES)
    assert english and len(chinese) == len(english)
    for row, translated in zip(english, chinese, strict=True):
        assert numbers(translated) == numbers(row), translated
