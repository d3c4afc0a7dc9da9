"""`bertkit doctor`."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated

from bertkit.terminal import Page, page_of_stdout, shown

if TYPE_CHECKING:
    from bertkit.diagnosis.doctor import Diagnosis
    from bertkit.diagnosis.findings import Finding

_COLOURS = {"ok": "green", "note": "yellow", "wrong": "red"}
_MARK, _NAME = 5, 12  # columns
_NARROW = 40


def doctor(
    *,
    model: Annotated[str | None, "directory or Hub id of a model to check, too"] = None,
    json_: Annotated[bool, "print JSON"] = False,
    seconds: Annotated[float, "time of the speed test, at most 10; 0: no speed test"] = 5.0,
) -> int:
    """Check the machine, the installation, the cache of the Hub, the speed, and the files of a model.

    Each line is ok, a note on what may not be intended, or wrong. A note and a fault say what to type. The exit code is 0 if
    nothing is wrong, and 1 otherwise. No connection to the network is opened, and no token is shown, so that you can copy the
    output into a report.
    """
    from bertkit.diagnosis.doctor import doctor as examine

    found = examine(model, seconds=seconds)
    print(json.dumps(found.to_dict(), indent=2) if json_ else "\n".join(_lines(found, page_of_stdout())))
    return 0 if found.healthy else 1


def _lines(found: Diagnosis, page: Page) -> list[str]:
    """A heading for each section and a line for each finding, and how many are not in order."""
    lines = []
    for section, findings in found.sections.items():
        lines += [page.paint(section, "bold"), *(line for one in findings for line in _finding(one, page))]
    counts = {status: sum(one.status == status for one in found.findings) for status in ("wrong", "note")}
    notes = f"{counts['note']} {'note' if counts['note'] == 1 else 'notes'}"
    return [*lines, "", f"{counts['wrong'] or 'nothing'} wrong, {notes}"]


def _finding(one: Finding, page: Page) -> list[str]:
    """The lines of a finding: its status, its name, its text, and what to type."""
    room = max(page.columns - _MARK - _NAME - 6, _NARROW)
    text, *rest = textwrap.wrap(shown(one.text), room, break_long_words=False, break_on_hyphens=False) or [""]
    blank = " " * (_MARK + _NAME + 6)
    lines = [f"  {page.paint(f'{one.status:<{_MARK}}', _COLOURS[one.status])}  {one.name:<{_NAME}}  {text}"]
    remedy = [f"{blank}{page.paint(f'-> {shown(one.remedy)}', 'cyan')}"] if one.remedy else []
    return [*lines, *(blank + line for line in rest), *remedy]
