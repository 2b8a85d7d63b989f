"""The life of a notebook file: executed, put into its committed form, handed out with blank exercises.

`python -m seglab.coursework` offers the same on the command line (`execute`, `clean`, `check`, `student`,
`lab-copies`); the Makefile calls it.
"""

from .execute import execute
from .normal_form import clean, problems
from .notebook_file import read_notebook, write_notebook
from .reader_copies import refresh_copies
from .student import student_copy

__all__ = ["clean", "execute", "problems", "read_notebook", "refresh_copies", "student_copy",
           "write_notebook"]
