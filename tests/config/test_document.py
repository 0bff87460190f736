from pathlib import Path

import pytest

from hoiray.config.document import Document, Origin, is_plain_text, parse_document, parse_value, shorten
from hoiray.errors import ConfigError


def read(text: str) -> Document:
    return parse_document(text, "f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.", 1.0),
        (".5", 0.5),
        ("-7", -7),
        ("+7", 7),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("none", "none"),
        ('"8"', "8"),
        ("!!str 8", "8"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read_value = read(f"a: {text}").values["a"]
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "1e999", "!!int abc", "!!timestamp 2024-01-01", "!!bool 1"])
def test_what_is_no_finite_number_is_refused_with_its_line(text: str) -> None:
    (problem,) = read(f"\na: {text}").problems
    assert str(problem).startswith("f.yaml:2: expected a finite number")


def test_a_tag_runs_no_code_and_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    document = read(f"a: !!python/object/apply:os.mkdir ['{canary}']")
    assert "found the tag 'tag:yaml.org,2002:python/object/apply:os.mkdir'" in str(document.problems[0])
    assert not canary.exists()


def test_every_value_knows_its_line() -> None:
    document = read("a:\n  b: 1\n  c:\n  - 2\n  - d: 3\n")
    lines = {path: origin.line for path, origin in document.origins.items()}
    assert lines == {("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", 0): 4, ("a", "c", 1): 5, ("a", "c", 1, "d"): 5}


def test_a_missing_value_is_placed_at_the_mapping_that_should_hold_it() -> None:
    document = read("# comment\na:\n  b: 1\n")
    assert document.origin_of(("a", "x", "y")).text == "f.yaml:2"
    assert document.origin_of(("x",)).text == "f.yaml:1"


def test_a_repeated_key_is_refused_and_the_first_value_stays() -> None:
    document = read("a: 1\nb: 2\na: 3\n")
    assert document.values == {"a": 1, "b": 2}
    assert [str(problem) for problem in document.problems] == [
        "f.yaml:3: key 'a' is given twice, first in line 1; keep one"
    ]


def test_an_alias_stands_for_its_anchor_without_sharing_it() -> None:
    values = read("a: &x {k: 1}\nb: *x\n").values
    assert values["a"] == values["b"] == {"k": 1}
    assert values["a"] is not values["b"]


def test_a_merge_key_is_refused() -> None:
    document = read("a: &x {k: 1}\nb:\n  <<: *x\n")
    assert str(document.problems[0]).startswith("f.yaml:3: found '<<': merge keys are not part of YAML 1.2")
    assert read('"<<": 1').values == {"<<": 1}


@pytest.mark.parametrize("key", ["1", "true", "null", "[a]"])
def test_a_key_is_text(key: str) -> None:
    (problem,) = read(f"? {key}\n: 1").problems
    assert "f.yaml:1: expected text as a key, found" in str(problem)


def test_a_value_inside_itself_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"f.yaml:1: expected a value, found an alias of a value that it is inside of"
    ):
        read("a: &x [1, *x]")


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(ConfigError, match="more than 100000 values; are there aliases of aliases"):
        read("\n".join(lines))


@pytest.mark.parametrize("close", ["", "]"])
def test_thousands_of_levels_are_refused_with_their_line(close: str) -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: expected at most 64 levels of nesting, found more; flatten it"):
        read("b: 1\na: " + "[" * 3_000 + close * 3_000)


def test_the_deepest_nesting_allowed_is_read() -> None:
    for depth, is_allowed in ((62, True), (63, False)):
        text = "a: " + "[" * depth + "1" + "]" * depth
        if is_allowed:
            assert read(text).values
        else:
            with pytest.raises(ConfigError, match="64 levels"):
                read(text)


def test_aliases_do_not_nest_deeper_than_what_is_written() -> None:
    lines = ["a0: &a0 [1]", *(f"a{i}: &a{i} [[[[[[*a{i - 1}]]]]]]" for i in range(1, 12))]
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: expected at most 64 levels of nesting"):
        read("\n".join(lines))


@pytest.mark.parametrize(("text", "tag"), [("!foo {a: 1}", "!foo"), ("!!set {a}", "tag:yaml.org,2002:set")])
def test_a_tag_on_the_whole_file_is_refused(text: str, tag: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(f"# c\n{text}")
    assert str(raised.value) == f"f.yaml:2: expected a plain YAML value, found the tag '{tag}'; remove the tag"
    assert read("!!map {a: 1}").values == {"a": 1}


def test_an_integer_that_no_table_can_hold_is_refused() -> None:
    for text in ("0x" + "f" * 6000, "9" * 6000, "9" * 400):
        (problem,) = read(f"a: {text}").problems
        assert str(problem).startswith("f.yaml:1: expected a finite number")
    assert read(f"a: {2**1024 - 1}").values == {"a": 2**1024 - 1}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"f\.yaml: expected a mapping of keys, found an empty file"):
        read(text)


def test_a_list_at_the_top_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"f.yaml:2: expected a mapping of keys .* found a list"):
        read("# c\n- a\n")


def test_a_single_value_at_the_top_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"f.yaml:1: expected a mapping .* found the single value 'hello'"):
        read("hello")


def test_a_tab_as_indentation_is_named() -> None:
    with pytest.raises(ConfigError, match=r"f\.yaml:2: not readable as YAML: a tab indents the line; use spaces"):
        read("a:\n\tb: 1\n")


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1, 2\nb: 3\n", 2), ("a: 1\n b: 2\n", 2), ("a: 'x\n", 2), ("a: *x", 1)]
)
def test_broken_syntax_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^f\.yaml:{line}: not readable as YAML: "):
        read(text)


def test_two_documents_in_a_file_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: not readable as YAML: expected a single document"):
        read("a: 1\n---\nb: 2\n")


def test_a_control_character_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: .* found the control character U\+0007"):
        read("a: 1\nb: \x07\n")


def test_an_override_is_one_value() -> None:
    origin = Origin("--set a=", 1)
    assert parse_value("[1, x]", origin) == [1, "x"]
    assert parse_value("", origin) is None
    with pytest.raises(ConfigError, match="expected a YAML value after '=', found '\\['"):
        parse_value("[", origin)
    with pytest.raises(ConfigError, match="given twice"):
        parse_value("{a: 1, a: 2}", origin)
    with pytest.raises(ConfigError, match=r"^--set a=: expected at most 64 levels"):
        parse_value("[" * 600, origin)


def test_a_long_text_is_cut_in_messages() -> None:
    assert shorten("x" * 60) == "x" * 60
    assert shorten("x" * 61) == "x" * 60 + "..."


@pytest.mark.parametrize("text", ["a", "s3://b/p", "a-b_c.d", "1.2.3", "no"])
def test_plain_text_needs_no_quotes(text: str) -> None:
    assert is_plain_text(text)
    assert read(f"k: {text}").values == {"k": text}


@pytest.mark.parametrize("text", ["", "1", "1e5", ".inf", "true", "~", "a: b", "a:", "-a", "#a", "a b", "é", "0x1f"])
def test_text_that_yaml_would_read_otherwise_is_quoted(text: str) -> None:
    assert not is_plain_text(text)
