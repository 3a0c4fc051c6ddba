"""The site that tools/site makes of these pages: README is the first one, and the order is that of its links."""

import pathlib
import re

project = "harness"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "docs/*.md"]
exclude_patterns = ["target", "tests", "fuzz", "src", ".*"]
myst_heading_anchors = 4  # named as on GitHub
html_theme = "furo"
html_title = project
html_copy_source = html_show_sourcelink = False


def add_contents(_app, name, source):
    """The first page lists all others; as it is read elsewhere too, they are added here."""
    if name != root_doc:
        return
    pages = dict.fromkeys(re.findall(r"\]\((docs/\w[\w-]*)\.md", source[0]))
    there = {f"docs/{page.stem}" for page in pathlib.Path(__file__).parent.glob("*.md")}
    rest = sorted(there.difference(pages))
    listed = "\n".join([*pages, *rest, "CHANGELOG"])
    source[0] += f"\n\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{listed}\n```\n"


def setup(app):
    app.connect("source-read", add_contents)
