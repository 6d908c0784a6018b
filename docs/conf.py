"""The documentation as a site: pages, tutorials, and a reference made from the code.

Built with ``sphinx-build -W docs docs/_build``; nothing is fetched, neither while building nor
while reading.
"""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
os.environ.setdefault("TQDM_DISABLE", "1")

project = "bayescmp"
author = "The bayescmp authors"
copyright = author
version = release = installed_version("bayescmp")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated_pages",
    "mathml",
]
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"
exclude_patterns = ["_build", "_extensions", "jupyter_execute", "tutorials/*.py"]
suppress_warnings = ["myst.header"]  # files begin below the level of their page's title

html_theme = "furo"
html_title = "bayescmp"
html_static_path: list[str] = []
html_copy_source = False

# Cells are run while building, and an error in one ends the build. Off for a quick look:
# sphinx-build -D nb_execution_mode=off.
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
