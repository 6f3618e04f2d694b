"""Exclusion patterns: the examples of Glue's guide, and what is no pattern."""

from __future__ import annotations

import pytest

from glue.glob_pattern import InvalidPattern, compiled, is_excluded

MARKET = ["departments/finance.json", "departments/market-us.json", "departments/market-emea.json",
          "employees/hr.json", "employees/john.csv", "employees/juan.txt"]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "x/a.csv", False),
        ("*.*", "a.b", True),
        ("*.{csv,avro}", "a.avro", True),
        ("*.{csv,avro}", "a.json", False),
        ("foo.?", "foo.x", True),
        ("foo.?", "foo./", False),
        ("myfolder/*", "myfolder/mysource", True),
        ("myfolder/*", "myfolder/mysource/data", False),
        ("myfolder/*/*", "myfolder/mysource/data", True),
        ("myfolder/**", "myfolder/mysource/data", True),
        ("myfolder**", "myfolder", True),
        ("[abce-g]", "f", True),
        ("[!a-c]", "b", False),
        ("[!a-c]", "/", False),
        ("[*?]", "*", True),
        (r"a\{b", "a{b", True),
        ("*", ".hidden", True),
        ("**/_SUCCESS", "dt=2026-11-22/_SUCCESS", True),
        ("**.crc", "dt=x/.1.gz.crc", True),
        ("**_$folder$", "dt=x_$folder$", True),
        ("2015/01/{[!0],0[8-9]}**", "2015/01/08/x", True),
        ("2015/01/{[!0],0[8-9]}**", "2015/01/07/x", False),
        ("2015/01/{[!0],0[8-9]}**", "2015/01/10/x", True),
    ],
)
def test_what_fits(pattern: str, path: str, fits: bool) -> None:
    assert is_excluded(path, (pattern,)) is fits


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("departments/**", {"departments/finance.json", "departments/market-us.json", "departments/market-emea.json"}),
        ("departments/market*", {"departments/market-us.json", "departments/market-emea.json"}),
        ("**.csv", {"employees/john.csv"}),
        ("employees/*.csv", {"employees/john.csv"}),
    ],
)
def test_the_guides_folder(pattern: str, left_out: set[str]) -> None:
    assert {path for path in MARKET if is_excluded(path, (pattern,))} == left_out


@pytest.mark.parametrize("pattern", ["[a", "{a,b", "{a,{b}}", "a\\", "[z-a]", "x" * 2000])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        compiled(pattern)
