"""The beginning of a file that did not come whole, kept so that the rest can be asked for."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path

from sharpvae.artefacts import write_json

_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Origin:
    """What a server said of a file.

    Attributes:
        address: where it was asked for.
        validator: what tells this version of it from others (ETag or Last-Modified); or None.
        total: the bytes of the whole; 0 where unknown.
    """

    address: str
    validator: str | None
    total: int


class Partial:
    """A file `.<name>.part` and, beside it, its `Origin`.

    Every method may raise OSError.

    Attributes:
        path: the bytes that came so far.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f".{name}.part"
        self._origin = folder / f".{name}.part.json"

    def size(self) -> int:
        """How many bytes are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> Origin | None:
        """Where the bytes came from; None where there are none, or nothing is known of them."""
        try:
            origin = Origin(**json.loads(self._origin.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        fits = isinstance(origin.total, int) and self.size() <= (origin.total or self.size())
        return origin if fits and self.size() > 0 else None

    def start(self, origin: Origin) -> None:
        """Empty it for the bytes of `origin`."""
        self.path.write_bytes(b"")  # first, or bytes of old would pass for some of this origin
        write_json(self._origin, asdict(origin))

    def remove(self) -> None:
        """Leave nothing behind."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def finish(self, target: Path) -> Path:
        """Give it its final place and name."""
        self.path.replace(target)
        self._origin.unlink(missing_ok=True)
        return target


def validator(headers: Message) -> str | None:
    """What `If-Range` may be asked with: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag")
    return etag if etag and etag.startswith('"') else headers.get("Last-Modified")


def content_range(headers: Message) -> tuple[int | None, int]:
    """The first byte that an answer has and the bytes of the whole; None and 0 where unsaid."""
    found = _RANGE.fullmatch((headers.get("Content-Range") or "").strip())
    if found is None:
        return None, 0
    start, total = found.groups()
    return (None if start is None else int(start)), (0 if total == "*" else int(total))
