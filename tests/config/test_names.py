"""params.yaml is read as DVC reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml

from sharpvae.config.names import read_params
from sharpvae.core.errors import UserError


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return read_params(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1.0e-4", 1e-4), ("1E3", 1000.0), (".5", 0.5), ("7", 7), ("-2", -2),
     ("true", True), ("null", None), ("1.2.3", "1.2.3"), ("e5", "e5")],
)  # fmt: skip
def test_numbers_follow_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"x: {text}")["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "on", "off", "NO", "010", "0o10", "0x1F", "0b1", "1:30", "1_000", "1e-4", "1e4", ".inf",
     ".5", "5.", "~", "null", "Null", "", "2024-01-31", "+1", "1.", "'1'", "[1, yes]",
     "<<: {a: 1}"],
)  # fmt: skip
def test_what_dvc_reads_is_what_configure_reads(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, f"x:\n  {text}")
    assert repr(found) == repr(parse_yaml(f"x:\n  {text}", "params.yaml"))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: 1\na: 2\n", 'duplicate key "a"'),
        ("a: {b: 1, b: 2}\n", 'duplicate key "b"'),
        ("a: [1\n", "line 2"),
        ("- 1\n", "a mapping of sections"),
        ("", "a mapping of sections"),
        ("a: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
        ("a: 2024-99-99\n", "month must be in"),
        ("a: !!int x\n", "invalid literal"),
        (f"a: {'9' * 5000}\n", "limit"),
        (f"a: 0x{'f' * 5000}\n", "integers of at most 9223372036854775807"),
        (f"a: {'[' * 2000}{']' * 2000}\n", "too many lists"),
        (f"a: {'[' * 60}{']' * 60}\n", "at most 50 in one another"),
        ("a: &a [*a]\n", "at most 50 in one another"),
        ("\n".join(["a0: &a0 [1, 1]", *(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]" for n in range(40))]),
         "aliases included"),
    ],
)  # fmt: skip
def test_broken_files_are_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(UserError, match=part) as caught:
        read(tmp_path, text)
    assert "params.yaml" in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="top of the repository"):
        read_params(tmp_path / "params.yaml")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match="a file that can be read"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", [r'x: "\ud800"', r'x: ["a\0b"]', r'"\udfff": 1'])
def test_text_that_no_file_or_path_holds_is_refused(tmp_path: Path, text: str) -> None:
    """Half a character cannot be written to configs/, and a zero byte ends a path."""
    with pytest.raises(UserError, match="text that a file can hold"):
        read(tmp_path, text)
