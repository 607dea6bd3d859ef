"""The one exception that means "the user can mend this"."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

_LONGEST = 1000  # characters of a part of a message
_JOINERS = "\u200c\u200d"  # formats of letters in Persian and Hindi, and of emoji


def visible(text: str, keep: str = "") -> str:
    """`text` with every control character but those in `keep` spelt out, as `\\x1b`.

    So are line separators and marks that turn the direction of writing: a name that a stranger
    chose can neither command a terminal, nor begin a new line, nor be read as another one.
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs")
        and character not in keep + _JOINERS
        else character
        for character in text
    )


class UserError(Exception):
    """A mistake in parameters, data or files, reported in four parts.

    Args:
        where: dotted key (`loss.beta`) or file that is at fault.
        expected: what would have been right.
        found: what was there instead.
        fix: what to do about it; may be empty when `expected` already says it.
    """

    def __init__(self, where: str, expected: str, found: str, fix: str = "") -> None:
        self.where, self.expected, self.found, self.fix = where, expected, found, fix
        super().__init__(self.text())

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str, str]]:
        return UserError, (self.where, self.expected, self.found, self.fix)

    def text(self) -> str:
        """The message as plain lines, ready for a terminal or a log."""
        where, expected, found, fix = map(_cut, (self.where, self.expected, self.found, self.fix))
        lines = [where, f"  expected: {expected}", f"  found:    {found}"]
        if fix:
            lines.append(f"  do this:  {fix}")
        return "\n".join(lines)


def _cut(text: str) -> str:
    """A part of a message as it can be shown; it may quote a whole file."""
    shown = visible(text[: _LONGEST + 1], keep="\n")
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


class UserErrors(UserError):
    """Several mistakes found in one pass, so that they can be mended in one pass."""

    def __init__(self, errors: list[UserError]) -> None:
        self.errors = list({error.text(): error for error in errors}.values())  # each once
        first = errors[0]
        super().__init__(first.where, first.expected, first.found, first.fix)

    def __reduce__(self) -> tuple[type[UserErrors], tuple[list[UserError]]]:  # type: ignore[override]
        return UserErrors, (self.errors,)

    def text(self) -> str:
        return "\n".join(error.text() for error in self.errors)


def nearest(name: str, valid: Iterable[str]) -> str:
    """A "did you mean" sentence for a wrong name, listing every valid one."""
    names = [str(name) for name in valid]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    listing = f"valid names: {', '.join(names)}" if names else "there are no valid names"
    return f"did you mean '{close[0]}'? {listing}" if close else listing
