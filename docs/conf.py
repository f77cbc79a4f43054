"""How the site is built: ``python -m sphinx -W docs build/docs``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.search.en import SearchEnglish
from sphinx.util.docutils import SphinxDirective

import paddle_ac
from paddle_ac.commands.arguments import as_flag
from paddle_ac.config import CONFIGS
from paddle_ac.config.groups import Group

project = "paddle_ac"
release = paddle_ac.__version__
html_title = f"paddle_ac {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes only
highlight_language = "text"  # of blocks that name none

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_search_language = "en-zh"
html_math_renderer = "mathml"

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
        """Split a text into words, as ``splitQuery`` splits a query."""
        return re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text)


class HyperParameters(SphinxDirective):
    """One table of all hyper-parameters of an algorithm, made from its configuration: ``{hyper-parameters} a2c``."""

    required_arguments = 1
    groups = ("algorithm", "network", "optimizer", "run", "evaluation and logging")

    def run(self) -> list[nodes.Node]:
        table = nodes.container(classes=["hyper-parameters"])
        lines = StringList(list(self._rows(CONFIGS[self.arguments[0]].model_fields)), source=self.env.docname)
        self.state.nested_parse(lines, self.content_offset, table)
        return [table]

    def _rows(self, fields: dict[str, Any]) -> Iterator[str]:
        yield "| flag | default | values | meaning |"
        yield "|---|---|---|---|"
        for group in self.groups:
            yield f"| **{group}** | | | |"
            for name, field in fields.items():
                if name != "algo" and field.json_schema_extra["group"] == group:
                    default, meaning = default_and_meaning(field)
                    yield f"| `{as_flag(name)}` | {default} | {_values_of(field).replace('``', '`')} | {meaning} |"


def default_and_meaning(field: Any) -> tuple[str, str]:
    """A hyper-parameter's default as on the command line, and its meaning.

    The description of one that is not set by default has what it is then in brackets: that is the default.
    """
    meaning = field.description
    if field.default in (None, (), {}):
        otherwise = re.search(r" \[([^]]+)\]", meaning)
        return (otherwise[1], meaning.replace(otherwise[0], "")) if otherwise else ("none", meaning)
    if isinstance(field.default, bool):
        return "on" if field.default else "off", meaning
    if isinstance(field.default, tuple):
        return f"`{','.join(map(str, field.default))}`", meaning
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`", meaning


def include_chinese_readme(app: Any, docname: str, source: list[str]) -> None:
    """The page "中文说明" is README_cn.md of the repository, with its links adapted."""
    if docname == "cn/readme":
        page = Path(app.srcdir, "..", "README_cn.md").read_text(encoding="utf-8")
        page = page.replace("# paddle_ac", "# 中文说明", 1).replace("](README.md)", "](docs/index.md)")
        page = page.replace("](docs/", "](../").replace("](CONTRIBUTING.md)", "](../../CONTRIBUTING.md)")
        source[0] = re.sub(r"\[([^]]*)\]\(notebooks\)", r"\1", page)  # a folder is no page


def link_files_outside(app: Any, docname: str, source: list[str]) -> None:
    """Links to Markdown files outside ``docs/``, which are no pages of the site, lead to the files themselves."""
    folder = Path(app.srcdir, docname).parent

    def as_a_file(link: re.Match) -> str:
        return link[0] if (folder / link[1]).resolve().is_relative_to(app.srcdir) else f"](path:{link[1]})"

    source[0] = re.sub(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", as_a_file, source[0])


def add_hyper_parameters(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Add to a configuration's docstring a table of the fields that it declares, or has other defaults for."""
    if not _is_configuration(thing):
        return
    own = [field for field in inspect.get_annotations(thing) if field in thing.model_fields and field != "algo"]
    if own:
        lines += [".. list-table::", "   :header-rows: 1", "   :widths: 22 14 22 42", ""]
        _add_row(lines, "name", "default", "values", "meaning")
    for field_name in own:
        field = thing.model_fields[field_name]
        default = field.default
        if isinstance(default, tuple) and default:
            default = ",".join(map(str, default))
        _add_row(lines, f"``{field_name}``", f"``{default}``", _values_of(field), _literally(field.description))


def omit_signature(app: Any, what: str, name: str, thing: Any, *_: Any) -> tuple[str, None] | None:
    """A configuration has its table in place of a signature."""
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
    if get_origin(annotation) is tuple and kinds[0] is str:
        return "texts"
    if get_origin(annotation) is tuple and get_origin(kinds[0]) is Literal:
        return ", ".join(f"``{choice}``" for choice in get_args(kinds[0]))
    if get_origin(annotation) is tuple:
        return _with_limits(f"{kinds[0].__origin__.__name__}s", kinds[0].__metadata__)
    return _with_limits(kinds[0].__name__, field.metadata)


def _with_limits(kind: str, limits: Iterable[Any]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{sign} {getattr(limit, name)}" for limit in limits for name, sign in signs.items() if hasattr(limit, name)
    ]
    return ", ".join([kind, *bounds])


def _literally(text: str) -> str:
    r"""A command line's help as reStructuredText: ``*`` and ``_`` mean themselves."""
    return text.replace("*", r"\*").replace("_", r"\_")


def write_inline_math(translator: Any, node: nodes.math) -> None:
    """Equations are MathML, which browsers draw themselves, without a script from the network."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def write_display_math(translator: Any, node: nodes.math_block) -> None:
    """An equation on its own line."""
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_search_language(SearchEnglishAndChinese)
    app.add_directive("hyper-parameters", HyperParameters)
    app.add_html_math_renderer("mathml", (write_inline_math, None), (write_display_math, None))
    app.connect("source-read", include_chinese_readme)
    app.connect("source-read", link_files_outside)
    app.connect("autodoc-process-docstring", add_hyper_parameters)
    app.connect("autodoc-process-signature", omit_signature)
