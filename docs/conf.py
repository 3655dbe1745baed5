"""How Sphinx builds the documentation."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from sphinx.application import Sphinx

from realtime_drf import __version__

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "realtime_drf",
    ],
    USE_TZ=True,
)
django.setup()

project = "realtime_drf"
author = "The realtime_drf maintainers"
copyright = "The realtime_drf maintainers"  # noqa: A001
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"realtime_drf {version}"

myst_heading_anchors = 3

# The docstrings write names of Python in single backquotes.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"show-inheritance": True}
napoleon_custom_sections = [("Options", "params_style")]


def setup(app: Sphinx) -> None:
    """Keep napoleon away from attributes: it takes "Not for production: …" for a type."""
    kept: list[str] = []

    def hide(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        kept[:] = lines
        if what in ("attribute", "data", "property"):
            lines.clear()

    def restore(
        app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
    ) -> None:
        if what in ("attribute", "data", "property"):
            lines[:] = kept

    app.connect("autodoc-process-docstring", hide, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
