"""The rules of the house, held by tests: tools agree, heavy imports stay out, files stay small, nothing names this machine."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
HEAVY = ("litellm", "streamlit", "plotly", "scipy", "pandas", "sqlalchemy")
MAX_LINES = 300
# Spelled in parts, so that this file passes its own test.
FORBIDDEN = re.compile(
    "|".join(("/" + "work/", "/" + "tmp/rec", "py" + r"pi\.org", "pythonhosted" + r"\.org", "--find" + "-links"))
)
# Versions with known holes: distribution -> refused versions, or the first good one.
STOLEN = {"litellm": {"1.82.7", "1.82.8"}}
FIRST_GOOD = {"litellm": "1.83.7", "streamlit": "1.54", "starlette": "1.1.0", "jinja2": "3.1.6"}


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(TOOLS / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("command", [("ruff", "check", "."), ("mypy",), ("lint-imports",)], ids=lambda c: c[0])
def test_the_checkers_agree(command):
    done = tool(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def tracked() -> list[Path]:
    """Files under version control; in a copy without history, the files a checkout would have."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    folders = ("iapo_core", "pages", "tests", "docs", "sample_tasks", "benchmarks", ".ci", ".streamlit")
    nested = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    return nested + [path for path in ROOT.iterdir() if path.is_file()]


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_the_package_loads_nothing_heavy():
    assert not loaded_by("import iapo_core") & set(HEAVY)
    assert not loaded_by("import iapo_core.cli") & set(HEAVY)


def test_no_module_behind_the_pages_imports_litellm():
    modules = [f"pages.shell.{path.stem}" for path in (ROOT / "pages" / "shell").glob("[!_]*.py")]
    assert "litellm" not in loaded_by(f"import {', '.join(sorted(modules))}")
    for path in [ROOT / "app.py", *(ROOT / "pages").rglob("*.py")]:
        assert "litellm" not in path.read_text(encoding="utf-8"), path


def test_every_module_of_the_package_has_its_layer():
    """A new module must be given its place, else the contract says nothing about it."""
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    decision = (ROOT / "docs" / "decisions" / "0001-layers.md").read_text(encoding="utf-8")
    for path in (ROOT / "iapo_core").iterdir():
        if path.name.startswith("_") or not (path.suffix == ".py" or (path / "__init__.py").exists()):
            continue
        assert re.search(rf"\biapo_core\.{path.stem}\b", contracts), f"{path.stem} stands in no layer of pyproject.toml"
        assert re.search(rf"^    .*\b{path.stem}\b", decision, re.MULTILINE), f"{path.stem} is missing in 0001-layers.md"


def test_files_stay_small():
    paths = [ROOT / "app.py", *(ROOT / "iapo_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]
    long = {str(path.relative_to(ROOT)): n for path in paths if (n := len(path.read_bytes().splitlines())) > MAX_LINES}
    assert not long


def test_no_tracked_file_names_a_machine_or_a_registry():
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in FORBIDDEN.finditer(text)]
    assert not found


@pytest.mark.parametrize("name", FIRST_GOOD)
def test_no_version_with_a_known_hole_is_installed(name):
    try:
        installed = version(name)
    except PackageNotFoundError:
        return
    assert Version(installed) >= Version(FIRST_GOOD[name])
    assert installed not in STOLEN.get(name, set())


def test_the_declared_range_refuses_the_stolen_versions():
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, versions in STOLEN.items():
        line = next(line for line in declared.splitlines() if f'"{name}' in line)
        assert all(f"!={bad}" in line for bad in versions)


def test_the_readme_gives_the_command_that_ci_runs():
    command = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    assert command.removeprefix("python3") in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
