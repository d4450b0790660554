"""Sphinx configuration. The build needs no network."""

import re
from pathlib import Path

import skfsl

DOCS = Path(__file__).parent

project = "skfsl"
author = "the skfsl developers"
copyright = author
version = release = skfsl.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "code"
add_module_names = False

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True

html_theme = "pydata_sphinx_theme"
html_title = "skfsl"
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"whats_new": [], "install": [], "quickstart": [], "layout": []}

OWN_LABELS = {
    label
    for page in DOCS.rglob("*.rst")
    for label in re.findall(r"^\.\. _([\w-]+):$", page.read_text("utf-8"), re.MULTILINE)
}


def plain_foreign_references(app, what, name, obj, options, lines):
    """Keep the words of references to scikit-learn's guide and glossary.

    Inherited docstrings have them. Shapes such as (n_features_in_,) are no targets.
    """

    def word(found):
        text, _, label = found[2].partition("<")
        if found[1] == "ref" and label.rstrip("> ") in OWN_LABELS:
            return found[0]
        return f"``{text}``" if found[1] == "term" else text.strip()

    text = re.sub(r":(ref|term):`([^`]+)`", word, "\n".join(lines))
    lines[:] = [
        re.sub(r"(?<![`\w.])(\w+)_(?=[,)])", r"\1\\_", line)
        if " shape (" in line
        else line
        for line in text.split("\n")
    ]


def changelog(app, docname, source):
    """Put CHANGELOG.md, whose only marks are headings and bullets, into the page."""
    if docname != "whats_new":
        return
    page = []
    text = (DOCS.parent / "CHANGELOG.md").read_text("utf-8").replace("`", "``")
    for line in text.split("\n")[1:]:
        if found := re.match(r"(#+) (.*)", line):
            line = f"{found[2]}\n{'=-~'[len(found[1]) - 2] * len(found[2])}"
        page.append(line)
    source[0] = source[0].replace("CHANGELOG", "\n".join(page))


def names_of_the_package(app, env, node, contnode):
    """Resolve ``skfsl.Name`` to the page of the name in its room."""
    found = re.fullmatch(r"(?:skfsl\.)?(\w+)(\.\w+)?", node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not found or found[1] not in skfsl.__all__:
        return None
    room = getattr(skfsl, found[1]).__module__.split("._")[0]
    node["reftarget"] = f"{room}.{found[1]}{found[2] or ''}"
    return env.get_domain("py").resolve_xref(
        env,
        node["refdoc"],
        app.builder,
        node["reftype"],
        node["reftarget"],
        node,
        contnode,
    )


def setup(app):
    app.connect("autodoc-process-docstring", plain_foreign_references, priority=100)
    app.connect("source-read", changelog)
    app.connect("missing-reference", names_of_the_package)
