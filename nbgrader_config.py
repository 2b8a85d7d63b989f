"""nbgrader's settings for this course. Run its commands in this folder; the class lies in grading/ (not in git):

    make sources                                  the chapters as nbgrader wants them, grading/source/NN_name/
    nbgrader generate_assignment 05_unet          what students get, grading/release/05_unet/
    (students' files go to grading/submitted/STUDENT/05_unet/05_unet.ipynb)
    nbgrader autograde 05_unet                    runs each submission and gives the points of its checks
    nbgrader generate_feedback 05_unet            a page for each student, grading/feedback/
    nbgrader export                               all points, grading/grades.csv

`SEGLAB_PROFILE=smoke nbgrader autograde ...` grades without the training: points come from the checks alone.
"""

from pathlib import Path

c = get_config()  # noqa: F821  nbgrader defines it

c.CourseDirectory.course_id = "seglab"
c.CourseDirectory.root = str(Path(__file__).resolve().parent / "grading")
c.ExportPlugin.to = str(Path(__file__).resolve().parent / "grading/grades.csv")

# Some cells train for minutes on a busy machine; after nbgrader's own 30 s the whole submission would be lost.
c.Execute.timeout = 600
c.Execute.startup_timeout = 120

# A warning on stderr is no wrong answer: nbgrader would give such a cell 0 points. Errors still do.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = "."

# A check that a student deleted comes back, instead of losing its points without a word.
c.OverwriteCells.add_missing_cells = True
