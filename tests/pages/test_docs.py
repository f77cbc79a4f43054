"""The site of ``docs/``: built without a warning, complete, to be searched; and the commands on its pages."""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import paddle_ac
from paddle_ac import errors
from paddle_ac.commands.arguments import ArgumentParser, as_flag, choose_algo
from paddle_ac.config import CONFIGS, find_config_class, make_config, read_yaml
from paddle_ac.training.runs import train
from tests.commands import (
    BUILD_SITE,
    ROOT,
    blocks,
    ci_lines,
    command_lines,
    copy_of_repository,
    in_text,
    run_line,
    run_python,
    save_modules,
)

PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/**/*.md"))}
WAITS_FOR_CTRL_C = "python tools/dashboard.py runs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built as the page "Getting started" says."""
    assert BUILD_SITE in command_lines(PAGES["docs/getting_started.md"])
    folder = copy_of_repository(tmp_path_factory.mktemp("site"))
    ended = run_line(BUILD_SITE, folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return folder / "build" / "docs"


@pytest.mark.slow
def test_a_new_page_is_in_the_navigation_and_of_its_links_only_that_to_nowhere_is_an_error(site, tmp_path):
    folder = tmp_path / "repository"
    shutil.copytree(site.parent.parent, folder)  # with the times of its files, so that only what is new is built
    links = "[nowhere](nowhere.md), [readme](../README.md#use), [configuration](../configs/a2c_cartpole.yaml)"
    (folder / "docs" / "news.md").write_text(f"# News of today\n\n{links}\n")
    ended = run_line(BUILD_SITE, folder)
    assert ended.returncode != 0
    assert "nowhere.md" in ended.stderr
    assert ended.stderr.count("WARNING: ") == 1, ended.stderr
    assert "News of today" in (folder / "build" / "docs" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in PAGES if not name.endswith(("/index.md", "cn/readme.md"))])
def test_page_opens_with_what_it_is_for(name):
    title, _, opening, *_ = PAGES[name].splitlines()
    assert title.startswith("# ")
    assert opening.startswith(("This page ", "本页"))


@pytest.mark.slow
def test_all_that_the_package_offers_has_an_entry(site):
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("api/*.html"))
    missing = [name for name in paddle_ac.__all__ if f'id="paddle_ac.{name}"' not in pages]
    assert not missing


@pytest.mark.slow
def test_all_that_the_commands_call_has_an_entry(site):
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("api/*.html"))
    names = {"plan", "tune", "choose_space"} | {name for name in vars(errors) if name.endswith("Error")}
    for command in ROOT.glob("paddle_ac/commands/*.py"):
        for module, imported in re.findall(r"from paddle_ac\.training\.(\w+) import ([\w, ]+)", command.read_text()):
            if module not in ("interrupt", "progress", "run_folder", "wording"):  # signals, terminals, paths and words
                names |= {name for name in re.findall(r"\w+", imported) if not name.isupper()}
    missing = [name for name in names if not re.search(rf'id="paddle_ac\.([\w.]+\.)?{name}"', pages)]
    assert len(names) > 12 and not missing


@pytest.mark.slow
def test_docstrings_are_read_as_they_are_meant(site):
    for path in site.glob("api/*.html"):
        page = path.read_text(encoding="utf-8")
        assert '<ol class="upperalpha' not in page, f"{path}: a description that is one letter, `N.`, without backticks"
        assert "Return type" not in page, f"{path}: a colon in the first line of `Returns`"


@pytest.mark.slow
@pytest.mark.parametrize("algo", CONFIGS)
def test_every_hyper_parameter_is_listed_with_its_default_and_meaning(site, algo):
    rows = rows_of_tables((site / "api" / "configuration.html").read_text(encoding="utf-8"))
    for name, field in CONFIGS[algo].model_fields.items():
        if name != "algo":
            default = str(field.default)
            if isinstance(field.default, tuple) and field.default:
                default = ",".join(map(str, field.default))
            assert [default, field.description] in [[row[1], row[3]] for row in rows if row[0] == name], name


SECTIONS = ["Idea", "Equations", "Usage", "Hyper-parameters", "Logged metrics", "Implementation details", "Results"]


@pytest.mark.parametrize("algo", CONFIGS)
def test_algorithm_pages_have_the_same_sections_in_the_same_order(algo):
    page = PAGES[f"docs/algorithms/{algo}.md"]
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    assert f"```{{hyper-parameters}} {algo}\n```" in page


@pytest.mark.slow
@pytest.mark.parametrize("algo", CONFIGS)
def test_algorithm_page_lists_every_hyper_parameter_with_its_default(site, algo):
    page = (site / "algorithms" / f"{algo}.html").read_text(encoding="utf-8")
    rows = [row for row in rows_of_tables(page) if row[0].startswith("--")]
    defaults = {row[0]: row[1] for row in rows}
    fields = {name: field for name, field in CONFIGS[algo].model_fields.items() if name != "algo"}
    assert defaults.keys() == set(map(as_flag, fields))
    assert all(map(all, rows)) and not any("]" in row[1] for row in rows)
    for name, field in fields.items():
        if field.default not in (None, (), {}):
            assert_is_default(algo, name, defaults[as_flag(name)])


@pytest.mark.parametrize("algo", ["a2c", "a3c", "ga3c"])
def test_chinese_algorithm_page_has_the_defaults(algo):
    rows = re.findall(r"^\| `--([\w-]+)` \| (.*?) \|", PAGES[f"docs/cn/{algo}.md"], re.MULTILINE)
    assert len(rows) > 10
    for flag, default in rows:
        assert_is_default(algo, flag.replace("-", "_"), default.replace("`", ""))


def assert_is_default(algo: str, name: str, default: str) -> None:
    value = {"on": True, "off": False}.get(default, default)
    assert make_config({"algo": algo, name: value}) == make_config({"algo": algo}), name


# A Chinese page, and the English pages that have its commands, code and equations.
CHINESE = {
    "index": "index",
    "installation": "installation",
    "getting_started": "getting_started",
    "own_environment": "api/own_environment",
    "own_network": "networks",
    "algorithms": "algorithms/index",
    "a2c": "algorithms/a2c",
    "a3c": "algorithms/a3c",
    "ga3c": "algorithms/ga3c",
    "atari": "atari",
    "cluster": "cluster",
}


@pytest.mark.parametrize("name", CHINESE)
def test_chinese_page_has_the_blocks_and_equations_of_the_english_page(name):
    """So that they need not run a second time."""
    chinese, english = PAGES[f"docs/cn/{name}.md"], PAGES[f"docs/{CHINESE[name]}.md"]
    for language in ("bash", "sh", "python"):
        assert set(blocks(chinese, language)) <= set(blocks(english, language))
    equations = [re.findall(r"^\$\$.*?\$\$$", page, re.DOTALL | re.MULTILINE) for page in (chinese, english)]
    assert equations[0] == equations[1]


def test_every_chinese_page_is_compared():
    pages = {path.stem for path in ROOT.glob("docs/cn/*.md")} - {"readme"}  # README_cn.md
    assert pages == CHINESE.keys()


def rows_of_tables(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[" ".join(html.unescape(re.sub(r"<.*?>", "", cell)).split()) for cell in row] for row in cells if row]


@pytest.mark.slow
def test_ranges_and_choices_are_listed(site):
    rows = {row[0]: row[2] for row in rows_of_tables((site / "api" / "configuration.html").read_text(encoding="utf-8"))}
    assert rows["gamma"] == "float, >= 0, <= 1"
    assert rows["seed"] == "int, >= 0, <= 2147483647"
    assert rows["hidden_sizes"] == "ints, > 0, <= 65536"
    assert rows["recurrent"] == "none, lstm, gru"
    assert rows["shared_torso"] == "bool"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "page"),
    [
        (["subprocvecenv"], "api/environments"),
        (["lambda", "truncat"], "api/learning"),  # as stems
        (["强", "化", "学", "习"], "index"),
        (["超", "参", "数"], "cn/readme"),
        (["num_env"], "api/configuration"),
    ],
)
def test_the_search_finds(site, words, page):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    for word in words:
        found = index["terms"][word]
        assert page in [index["docnames"][place] for place in (found if isinstance(found, list) else [found])]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words,page",
    [
        ("超参数", "中文说明"),
        ("num_envs", "Configuration"),
        ("truncations", "Learning"),
        ("gpu", "Networks"),
        ("custom environment", "Your own environment"),
        ("own network", "Networks"),
        ("resume", "Runs"),
        ("callback", "Callbacks and loggers"),
    ],
)
def test_what_is_searched_is_found_in_a_browser(site, browser, words, page):
    browser.get(f"{(site / 'search.html').as_uri()}?q={words}")
    found = (By.CSS_SELECTOR, "ul.search li a")
    WebDriverWait(browser, 30).until(lambda _: page in [link.text for link in browser.find_elements(*found)])


@pytest.mark.slow
def test_nothing_is_loaded_from_the_network(site):
    for path in site.glob("**/*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', path.read_text(encoding="utf-8"))
        assert not [address for address in loaded if "//" in address], path


@pytest.mark.slow
def test_nothing_is_cut_off_at_1280_pixels(site, browser):
    browser.set_window_size(1280, 900)
    too_wide = {}
    for path in sorted(site.glob("**/*.html")):
        if "_modules" in path.parts or path.name in ("genindex.html", "search.html", "py-modindex.html"):
            continue
        browser.get(path.as_uri())
        found = browser.execute_script(
            "return [document.documentElement, ...document.querySelectorAll('article *')].filter("
            "part => part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0 && "
            "(part === document.documentElement || getComputedStyle(part).overflowX != 'visible'))"
            ".map(part => part.outerHTML.slice(0, 120))"
        )
        if found:
            too_wide[str(path.relative_to(site))] = found[:3]
    assert not too_wide


def test_the_flags_of_each_row_of_the_results_give_its_environment_and_steps(tmp_path):
    rows = re.findall(r"^\| ([^|]+) \| `(--[^`]+)` \| ([\d,]{5,}) \|", PAGES["docs/results.md"], re.MULTILINE)
    assert len(rows) > 15
    for told, flags, steps in rows:
        given = dict(re.findall(r"--(algo|config) (\S+)", flags))
        parser = ArgumentParser()
        for flag in ("--algo", "--config"):
            parser.add_argument(flag, default=argparse.SUPPRESS)
        parser.add_hyper_parameters(find_config_class(choose_algo(given.get("algo"), given.get("config"))))
        values = parser.parse(flags.split())
        file = values.pop("config", None)
        config = make_config({**(read_yaml(ROOT / file) if file else {}), **values})
        assert config.total_steps == int(steps.replace(",", "")), flags
        env = config.env.rpartition(":")[2].replace("CartPolePositions-v1", "CartPole-v1 without velocities")
        assert told.startswith((env, "the same")), flags
    changes = re.findall(r"^\| [^|]+ \| `(--[^`]+)` \| \d \|$", PAGES["docs/results.md"], re.MULTILINE)
    assert len(changes) == 10
    for flags in changes:
        parser = ArgumentParser()
        parser.add_hyper_parameters(find_config_class("a2c"))
        make_config({**read_yaml(ROOT / "configs" / "a2c_cartpole_v0.yaml"), **parser.parse(flags.split())})


# The blocks of docs/deploy.md need what its command lines leave: tests/test_deploy.py runs them in their order.
# Those of the README and of English pages that Chinese pages repeat run once.
IN_README = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
PYTHON = {
    name: [code for code in blocks(page, "python") if code not in IN_README]
    for name, page in PAGES.items()
    if name != "docs/deploy.md" and not name.startswith("docs/cn/")
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, codes in PYTHON.items() if codes])
def test_the_python_of_a_page(tmp_path, name):
    save_modules(PAGES[name], tmp_path)
    for code in PYTHON[name]:
        ended = run_python(code, tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""


@pytest.mark.slow
def test_the_line_that_shows_the_runs(tmp_path):
    folder = copy_of_repository(tmp_path)
    train(make_config({"algo": "a2c", "total_steps": 1000}), str(folder / "runs" / "first"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = f"exec {WAITS_FOR_CTRL_C}"
    server = subprocess.Popen(
        command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+/", server.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}app/api/runs") as answer:
            assert json.load(answer)["data"] == ["runs/first"]
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()
    assert server.returncode == 0


def test_every_command_line_is_run_by_a_test_or_by_the_ci_as_it_is_written():
    """In blocks, and in the text; all of ``bash`` are run by tests/test_pages.py and tests/test_deploy.py."""
    pages = {**PAGES, **{name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README_cn.md")}}
    run = {*ci_lines(), WAITS_FOR_CTRL_C, *(line for page in pages.values() for line in command_lines(page))}
    for name, page in pages.items():
        languages = set(re.findall(r"^```(\S+)$", page, re.MULTILINE))
        assert languages <= {"bash", "sh", "python", "yaml", "text", "{toctree}", "{eval-rst}"}, name
        commands = [
            code for code in in_text(page) if re.match(r"(python3?|pip|pytest|visualdl|jupyter|sphinx\S*) \S", code)
        ]
        assert not [line for line in (*command_lines(page, "sh"), *commands) if line not in run], name
