"""The Chinese README says what the English one says, as far as it can be counted."""

from __future__ import annotations

import re

import pytest

from tests.commands import ROOT

PAGES = ("README.md", "README_cn.md")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(page: str) -> list[tuple[str, str]]:
    """The language and the text of each fenced block."""
    return FENCED.findall(page)


def headings(page: str) -> list[str]:
    """The level of each heading, as its signs."""
    return re.findall(r"^(#+) ", FENCED.sub("", page), re.MULTILINE)


def rows(page: str) -> list[str]:
    return re.findall(r"^\|.*\|$", FENCED.sub("", page), re.MULTILINE)


def links(page: str) -> list[str]:
    """Where links and pictures lead, but for the other language."""
    return sorted(set(re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page))) - set(PAGES))


def numbers(row: str) -> list[list[str]]:
    """The numbers in each cell."""
    return [re.findall(r"-?\d+(?:[.,]\d+)*", cell) for cell in row.split("|")]


@pytest.mark.parametrize("part", [fenced, headings, links])
def test_both_languages_have_the_same(part):
    english, chinese = (part(read(name)) for name in PAGES)
    assert english, "nothing found to compare"
    assert chinese == english


def test_each_language_leads_to_the_other():
    assert "](README_cn.md)" in read("README.md") and "](README.md)" in read("README_cn.md")


def test_the_tables_have_the_same_rows_and_numbers():
    english, chinese = (rows(read(name)) for name in PAGES)
    assert english and len(chinese) == len(english)
    for row, translated in zip(english, chinese, strict=True):
        assert numbers(translated) == numbers(row), translated
