"""How the site is built: ``python -m sphinx -W docs build/docs``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from sphinx.search.en import SearchEnglish

import paddle_ac
from paddle_ac.config.groups import Group

project = "paddle_ac"
release = paddle_ac.__version__
html_title = f"paddle_ac {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes only
highlight_language = "text"  # of blocks that name none

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_search_language = "en-zh"

autodoc_member_order = "bysource"
autodoc_mock_imports = ["optuna"]  # of the extra "tune", which the site does not need
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
napoleon_use_ivar = True  # attributes as one list
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"


class SearchEnglishAndChinese(SearchEnglish):
    """English words by their stems, and Chinese, which has no spaces between words, by its characters.

    Sphinx's own search in Chinese finds nothing: in its versions 9.0 and 9.1 its script fails in the browser.
    """

    lang = html_search_language
    js_splitter_code = r"""
var splitQuery = (query) => query.match(/[\u4e00-\u9fff]|(?:(?![\u4e00-\u9fff])[\p{Letter}\p{Number}_])+/gu) || [];
"""

    def split(self, text: str) -> list[str]:
        """The words of a text; ``splitQuery`` does the same to what is looked for."""
        return re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text)


def take_in_the_chinese_readme(app: Any, docname: str, source: list[str]) -> None:
    """The page "中文说明" is that of the repository, its links seen from here."""
    if docname == "readme_cn":
        page = Path(app.srcdir, "..", "README_cn.md").read_text(encoding="utf-8")
        page = page.replace("# paddle_ac", "# 中文说明", 1).replace("](README.md)", "](docs/index.md)")
        page = page.replace("](docs/", "](").replace("](CONTRIBUTING.md)", "](../CONTRIBUTING.md)")
        source[0] = re.sub(r"\[([^]]*)\]\(notebooks\)", r"\1", page)  # a folder is no page


def hand_out_files_outside(app: Any, docname: str, source: list[str]) -> None:
    """A link to a Markdown file outside ``docs/``, which is no page of the site, leads to the file itself."""
    folder = Path(app.srcdir, docname).parent

    def as_a_file(link: re.Match) -> str:
        return link[0] if (folder / link[1]).resolve().is_relative_to(app.srcdir) else f"](path:{link[1]})"

    source[0] = re.sub(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", as_a_file, source[0])


def tell_hyper_parameters(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Add to a configuration's docstring a table of the fields that it brings in, or has other defaults for."""
    if not _is_configuration(thing):
        return
    own = [field for field in inspect.get_annotations(thing) if field in thing.model_fields and field != "algo"]
    if own:
        lines += [".. list-table::", "   :header-rows: 1", "   :widths: 22 14 22 42", ""]
        _add_row(lines, "name", "default", "values", "meaning")
    for field_name in own:
        field = thing.model_fields[field_name]
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        _add_row(lines, f"``{field_name}``", f"``{default}``", _values_of(field), _literally(field.description))


def leave_out_signature(app: Any, what: str, name: str, thing: Any, *_: Any) -> tuple[str, None] | None:
    """The table says what a configuration takes."""
    return ("", None) if _is_configuration(thing) else None


def _is_configuration(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Group)


def _add_row(lines: list[str], first: str, *others: str) -> None:
    lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def _values_of(field: Any) -> str:
    """What a field may be: ``int, >= 1``, or its choices."""
    if get_origin(field.annotation) is dict:
        return "mapping"
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):  # with None
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    kinds = get_args(annotation) or (annotation,)
    if get_origin(annotation) is Literal:
        return ", ".join(f"``{choice}``" for choice in kinds)
    if get_origin(annotation) is tuple:
        return _within(f"{kinds[0].__origin__.__name__}s", kinds[0].__metadata__)
    return _within(kinds[0].__name__, field.metadata)


def _within(kind: str, limits: Iterable[Any]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    told = [
        f"{sign} {getattr(limit, name)}" for limit in limits for name, sign in signs.items() if hasattr(limit, name)
    ]
    return ", ".join([kind, *told])


def _literally(text: str) -> str:
    r"""A command line's help as reStructuredText: ``*`` and ``_`` mean themselves."""
    return text.replace("*", r"\*").replace("_", r"\_")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_search_language(SearchEnglishAndChinese)
    app.connect("source-read", take_in_the_chinese_readme)
    app.connect("source-read", hand_out_files_outside)
    app.connect("autodoc-process-docstring", tell_hyper_parameters)
    app.connect("autodoc-process-signature", leave_out_signature)
