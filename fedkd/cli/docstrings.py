"""What docstrings and recipes say about a method, in the forms that all of them keep to.

In the docstring of a part's module: a paper is `Authors, "Title" (where, year)`; an equation is a paragraph that is indented, not the last one;
what is different is a paragraph or a sentence that begins with `Differs from the paper:`, `Not in the paper:` or `Not here:`.
A recipe opens with comments: one line that says what it is, as `FedX (Authors, year): what it does.`, then notes, and what is
different under the same three headings.
"""

import functools
import importlib
import re
import textwrap
from dataclasses import dataclass

_HEADINGS = ("Differs from the paper:", "Not in the paper:", "Not here:")
_NAME = r"[A-Z][\w'-]+"
_PAPER = re.compile(
    rf'{_NAME}(?: {_NAME})*(?:, {_NAME})*(?: (?:&|and) {_NAME})?(?: et al\.)?, "[^"]+" \((?:[^()]|\([^()]*\))+\)'
)
_SUMMARY = re.compile(r"^[^(:]*\((?P<author>[\w'-]+)[^()]*\d{4}[^()]*\):")


@dataclass(frozen=True)
class Words:
    """What a text says: papers in full, equations, and differences from them."""

    papers: tuple[str, ...]
    equations: tuple[str, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Comment:
    """The comments that a recipe begins with: its first line, what is different, and the rest."""

    summary: str
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def author(self) -> str | None:
        """The first author of its paper; none for a recipe that names no paper."""
        found = _SUMMARY.match(self.summary)
        return found["author"] if found else None


@functools.cache
def words_of(module: str) -> Words:
    """Read the docstring of a module."""
    return read_words(importlib.import_module(module).__doc__ or "")


def read_words(text: str) -> Words:
    """Read a docstring; paragraphs that are examples of code say nothing."""
    papers: list[str] = []
    equations: list[str] = []
    differences: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        if paragraph.lstrip().startswith(">>>"):
            continue
        if all(line.startswith("    ") for line in lines):
            equations.append(textwrap.dedent(paragraph).strip())
            continue
        flat = " ".join(paragraph.split())
        papers += _PAPER.findall(flat)
        places = [place for heading in _HEADINGS if (place := flat.find(heading)) >= 0]
        if places:
            differences.append(flat[min(places) :])
    return Words(tuple(papers), tuple(equations), tuple(differences))


def read_comment(text: str) -> Comment:
    """Read the comments that the text of a recipe begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    parts: list[str] = []
    for number, line in enumerate(lines):
        if number < 2 or line.startswith(_HEADINGS):
            parts.append(line)
        else:
            parts[-1] += f" {line}"
    differences = tuple(part for part in parts[1:] if part.startswith(_HEADINGS))
    notes = tuple(part for part in parts[1:] if not part.startswith(_HEADINGS))
    return Comment(parts[0] if parts else "", differences, notes)
