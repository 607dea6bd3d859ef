"""Messages of any length, about names of any kind."""

from __future__ import annotations

import math

from sharpvae.core.errors import UserError, nearest


def test_a_message_quotes_a_part_of_what_is_long() -> None:
    text = UserError("a\x1b" * 3000, "b", "c" * 100_000, "d\ne").text()
    assert len(text) < 2200 and "c" * 900 in text and "..." in text
    assert "\x1b" not in text and text.endswith("do this:  d\ne")


def test_names_may_be_of_any_kind() -> None:
    assert nearest("nan", [math.nan, None, 3]) == "did you mean 'nan'? valid names: nan, None, 3"
