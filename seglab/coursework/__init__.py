"""The life of a notebook file: executed, put into its committed form, handed out with blank exercises.

`python -m seglab.coursework` offers the same on the command line (`execute`, `clean`, `check`, `claims`,
`student`, `lab-copies`); the Makefile calls it.
"""

from .claims_table import claims_table, measure_claims
from .execute import execute
from .normal_form import clean, problems
from .notebook_file import read_notebook, write_notebook
from .reader_copies import refresh_copies
from .student import student_copy

__all__ = ["claims_table", "clean", "execute", "measure_claims", "problems", "read_notebook", "refresh_copies",
           "student_copy", "write_notebook"]
