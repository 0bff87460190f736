"""The layer rules of pyproject.toml hold, and they would notice if they did not."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN_NAMES = {"utils", "common", "helpers", "misc", "core"}
PACKAGE_FILES = sorted((ROOT / "hoiray").rglob("*.py"))


def _lint_imports(config: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--config", str(config), "--no-cache"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_higher_row_imports_lower_rows_only() -> None:
    done = _lint_imports(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_notice_a_breach(tmp_path: Path) -> None:
    """With the rows upside down, the imports that are right today must be reported."""
    lines = ['[tool.importlinter]', 'root_package = "hoiray"', '[[tool.importlinter.contracts]]',
             'name = "upside down"', 'type = "layers"', 'layers = ["hoiray.errors", "hoiray.cli"]']  # fmt: skip
    config = tmp_path / "pyproject.toml"
    config.write_text("\n".join(lines))
    done = _lint_imports(config)
    assert done.returncode != 0
    assert "upside down BROKEN" in done.stdout


@pytest.mark.parametrize(("library", "home"), [("ray", "hoiray.engine"), ("smplx", "hoiray.hand")])
def test_the_rule_on_a_library_covers_the_whole_package(library: str, home: str, tmp_path: Path) -> None:
    """Without the exception for its home, the rule must report the home's own imports."""
    rules = (ROOT / "pyproject.toml").read_text()
    exception = f'ignore_imports = ["{home}.** -> {library}"]\n'
    assert exception in rules
    config = tmp_path / "pyproject.toml"
    config.write_text(rules.replace(exception, ""))
    done = _lint_imports(config)
    assert done.returncode != 0
    assert re.search(rf"{re.escape(home)}\.\w+ -> {library}", done.stdout)


def test_no_package_has_a_name_that_says_nothing() -> None:
    assert [path for path in PACKAGE_FILES if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES] == []


@pytest.mark.parametrize("path", [p for p in PACKAGE_FILES if p.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_an_init_file_imports_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_every_module_has_its_test_file() -> None:
    missing = []
    for path in PACKAGE_FILES:
        relative = path.relative_to(ROOT / "hoiray")
        mirrored = ROOT / "tests" / relative.parent / f"test_{relative.name}"
        if not path.name.startswith("__") and not mirrored.exists():
            missing.append(str(relative))
    assert missing == []
