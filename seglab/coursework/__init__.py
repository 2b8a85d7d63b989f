"""The life of a notebook file: executed, put into its committed form, handed out with blank exercises.

`python -m seglab.coursework` offers the same on the command line (`execute`, `clean`, `check`, `claims`,
`student`, `lab-copies`, `carry`); the Makefile calls it.
"""

from seglab.coursework.carry import carry_answers
from seglab.coursework.claims_table import claims_table, measure_claims
from seglab.coursework.execute import execute
from seglab.coursework.normal_form import clean, problems
from seglab.coursework.notebook_file import read_notebook, write_notebook
from seglab.coursework.reader_copies import refresh_copies
from seglab.coursework.student import student_copy

__all__ = ["carry_answers", "claims_table", "clean", "execute", "measure_claims", "problems", "read_notebook",
           "refresh_copies", "student_copy", "write_notebook"]
