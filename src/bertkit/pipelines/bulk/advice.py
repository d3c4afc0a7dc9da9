"""Options of jobs that their errors advise to type."""

from __future__ import annotations

from bertkit.errors import DataError, Setting

RESUME, OVERWRITE = Setting("resume", True), Setting("overwrite", True)

OR_START_AGAIN = (", or type ", OVERWRITE, " to start again.")
"""The end of errors about results that cannot be continued."""


def damaged(row: int) -> DataError:
    """The error for a row of the results that cannot be read."""
    return DataError(f"The results are damaged in row {row}: type ", RESUME, " to answer it again", *OR_START_AGAIN)
