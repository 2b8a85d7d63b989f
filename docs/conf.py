"""The course as web pages: stored notebooks, not executed again, and the package's reference. Builds offline.

`make site` copies this folder and `notebooks/` to `build/docs` first, because Sphinx reads one folder only.
"""

project, author, language = "seglab", "the seglab authors", "en"
project_copyright = "2026, the seglab authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "sphinx_book_theme"
html_title = "seglab: image segmentation, verified"
html_theme_options = {"home_page_in_toc": True, "show_toc_level": 2, "use_download_button": False}

nb_execution_mode = "off"                                     # what is stored is what was tested
myst_enable_extensions = ["amsmath", "dollarmath"]
suppress_warnings = ["myst.header", "myst.xref_missing"]      # links to files of the repository stay as they are

autodoc_typehints = "none"                                    # docstrings give shapes and types
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "code"


def plain_bars(app, what, name, object_, options, lines):
    """In docstrings |X| is the size of X; Sphinx would look for a substitution of that name."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else line.replace("|", r"\|") for line in lines]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", plain_bars, priority=400)            # before napoleon reads it
