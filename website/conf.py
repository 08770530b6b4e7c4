"""Sphinx settings of the site; `make site` copies them to build/site/source and builds there (website/prepare.py)."""

import memnet

project = "MemNet, reproduced"
author = "The contributors"
release = memnet.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["npm/**", "binder/**"]

nb_execution_mode = "off"  # the notebooks come with their outputs
nb_ipywidgets_js = {}  # live widgets would be loaded from a public server; their pictures are shown
nb_output_stderr = "remove"  # how far a measurement is
nb_render_markdown_format = "myst"  # the default shows no tables
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["amsmath", "attrs_inline", "dollarmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-mml-chtml.js"
mathjax3_config = {"tex": {"inlineMath": [["\\(", "\\)"], ["$", "$"]]}}  # $ in the outputs of cells
myst_mathjax_classes = "tex2jax_process|mathjax_process|math|output_area|text_html"
suppress_warnings = ["toc.not_included", "myst.xref_missing", "myst.header", "mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "set"}  # that of matplotlib's artists
default_role = "code"  # docstrings use plain backticks

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_theme_options = {"show_toc_level": 2, "use_download_button": True, "use_fullscreen_button": False}
