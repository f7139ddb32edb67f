"""The project itself: who imports whom, sizes, requirements, and what the README promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import resolve as resolver
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OURS = ("app", "studio", "xpsr", "train", "examples", "tests")
SHIPPED = ("app.py", "studio", "xpsr", "train")
RUN = "pip install -r requirements.txt && python app.py"
TEST = "pip install -r requirements.txt -r tests/requirements.txt && python -m pytest"

# Leaves of xpsr know nothing above them: what each of them may import of ours.
LEAVES = {
    "errors": set(),
    "background": set(),
    "building": set(),
    "image": {"errors", "pixels"},
    "pixels": {"errors"},
    "color": {"errors"},
    "tiling": {"errors"},
    "settings": {"errors"},
    "metrics": {"errors", "image", "metric_models", "ssim"},
    "ssim": set(),
    "metric_models": {"background", "building", "errors"},
    "prompts": {
        "background",
        "building",
        "errors",
        "settings",
        "image",
        "models",
        "parts",
        "placement",
        "prompts",
        "tagger_files",
        "whole",
    },
    "whole": {"errors"},
    "tagger_files": {"errors"},
    "models": {"errors", "models", "tagger_files"},
}
# Each of these may import those before it, never those behind it.
LAYERS = (
    "models",
    "finding",
    "parts",
    "sampling",
    "pipeline",
    "seesr",
    "loading",
    "cli",
    "__main__",
)


def modules(*places: str) -> list[Path]:
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
    return found


def imported(path: Path, face: bool = False) -> Iterator[str]:
    """Full dotted names of what a file imports, inside functions and for types as well.

    Of a package's `face`, which looks the names that it hands on up on first use, not these.
    """
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if face else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join((*above, *([node.module] if node.module else [])))
            yield source
            yield from (f"{source}.{name.name}" for name in node.names)


def part_of_xpsr(name: str) -> str | None:
    """`xpsr.models.unet` → `models`; None for other packages and for `xpsr` itself."""
    parts = name.split(".")
    if parts[0] != "xpsr" or len(parts) == 1:
        return None
    here = ROOT / "xpsr" / parts[1]
    return parts[1] if here.is_dir() or here.with_suffix(".py").is_file() else None


def own_part(path: Path) -> str:
    return path.relative_to(ROOT / "xpsr").with_suffix("").parts[0]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("xpsr", {"studio", "train", "app", "examples", "tests"}),
        ("studio", {"train", "app", "examples", "tests"}),
        ("train", {"studio", "app", "examples", "tests"}),
        ("examples", {"studio", "train", "app", "tests"}),
        ("app.py", {"train", "examples", "tests"}),
    ],
)
def test_imports_run_one_way(package: str, forbidden: set[str]) -> None:
    files = modules(package)
    assert files
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported(path)
        if name.split(".")[0] in forbidden
    ]
    assert not wrong


def test_leaves_import_nothing_above_them() -> None:
    seen = set()
    wrong = []
    for path in modules("xpsr"):
        part = own_part(path)
        if part not in LEAVES:
            continue
        seen.add(part)
        found = {part_of_xpsr(name) for name in imported(path)} - {None, part}
        wrong += [f"{path.name} imports xpsr.{name}" for name in found - LEAVES[part]]
    assert seen == set(LEAVES)
    assert not wrong


def test_layers_never_look_up() -> None:
    wrong = []
    for path in modules("xpsr"):
        part = own_part(path)
        if part in LAYERS:
            above = set(LAYERS[LAYERS.index(part) + 1 :])
            found = {part_of_xpsr(name) for name in imported(path)}
            wrong += [f"{path.name} imports xpsr.{name}" for name in found & above]
    assert not wrong


def circle(files: Iterable[Path]) -> list[str]:
    """Files that import each other in a circle, inside functions and for types as well."""
    needs: dict[str, set[str]] = {}
    for path in files:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = name.removesuffix(".__init__")
        needs[module] = {*imported(path, face=module != name)} - {module}  # as in "from . import"
    try:
        TopologicalSorter({one: found & {*needs} for one, found in needs.items()}).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not circle(modules(*SHIPPED))


def test_a_circle_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    ring = {"one": "import house.two", "two": "def late():\n    from house import one"}
    (tmp_path / "house").mkdir()
    for name, text in ring.items():
        (tmp_path / "house" / f"{name}.py").write_text(text)
    assert {*circle(modules("house"))} == {"house.one", "house.two"}
    (tmp_path / "house" / "two.py").write_text("import house.three")
    assert not circle(modules("house"))


def test_core_needs_no_torchvision() -> None:
    assert not [p.name for p in modules("xpsr") if "torchvision" in map(top, imported(p))]


def top(name: str) -> str:
    return name.split(".")[0]


def test_no_file_is_long() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules("app.py", "studio", "xpsr", "train", "examples", "tests")
    }
    assert not {name: count for name, count in lines.items() if count > 450}


def test_top_level_is_the_one_of_the_design() -> None:
    folders = {path.name for path in tracked() if path.parent == ROOT} | {
        path.relative_to(ROOT).parts[0] for path in tracked()
    }
    allowed = {"app.py", "requirements.txt", "README.md", "LICENSE", "pyproject.toml"}
    allowed |= {"studio", "xpsr", "train", "examples", "tests", ".ci", ".gitignore"}
    assert folders <= allowed


def tracked() -> list[Path]:
    """The files of the project: what git would carry, or all of them without git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [path for place in OURS for path in (ROOT / place).rglob("*") if path.is_file()]
    names = [name.decode() for name in done.stdout.split(b"\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def requirements(name: str) -> list[Requirement]:
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def missing_requirements(files: list[Path], given: list[Requirement]) -> set[str]:
    """Third-party packages that `files` import and `given` does not name."""
    named = {canonicalize_name(one.name) for one in given}
    homes = packages_distributions()
    roots = {top(name) for path in files for name in imported(path)}
    local = {*OURS, *(path.stem for path in modules("tests"))}
    foreign = roots - set(sys.stdlib_module_names) - local - {""}
    return {
        root
        for root in foreign
        if not named & {canonicalize_name(home) for home in homes.get(root, [root])}
    }


def test_requirements_cover_every_import() -> None:
    assert not missing_requirements(modules(*SHIPPED), requirements("requirements.txt"))


def test_test_requirements_cover_every_import() -> None:
    both = requirements("requirements.txt") + requirements("tests/requirements.txt")
    assert not missing_requirements(modules("tests", "examples"), both)


def test_requirements_are_floors_without_pins() -> None:
    given = requirements("requirements.txt") + requirements("tests/requirements.txt")
    pins = [
        str(one) for one in given if any(s.operator in ("==", "===", "~=") for s in one.specifier)
    ]
    assert not pins
    # Each upper bound keeps somebody from installing; there are two, with their reasons beside.
    bounds = {one.name for one in given if any(s.operator.startswith("<") for s in one.specifier)}
    assert bounds == {"setuptools", "mcp"}
    (torch,) = [one for one in given if one.name == "torch"]
    assert not torch.specifier.contains("2.13.0")
    assert not torch.specifier.contains("2.13.0+cpu")
    assert torch.specifier.contains("2.15.0")


@pytest.mark.network
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", resolver.CASES, ids=lambda case: case.name)
def test_requirements_can_be_installed(case: resolver.Case) -> None:
    if reason := resolver.why_no_index():
        pytest.skip(reason)
    found = resolver.resolve(case)
    wanted = {canonicalize_name(one.name) for one in requirements("requirements.txt")}
    assert wanted - {"xformers", "bitsandbytes"} <= {canonicalize_name(name) for name in found}
    assert ("xformers" in found) == (case.platform in ("linux", "windows"))
    assert ("bitsandbytes" in found) == (case.platform != "macos")
    assert found["torch"].split("+")[0] != "2.13.0"


def test_an_impossible_requirement_is_noticed() -> None:
    """The check above can fail: no set of packages holds gradio back this far."""
    if reason := resolver.why_no_index():
        pytest.skip(reason)
    case = resolver.Case("impossible", "3.12", lines=("gradio==5.0.0",))
    with pytest.raises(resolver.UnresolvableError, match="gradio"):
        resolver.resolve(case)


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def readme_commands() -> list[str]:
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", readme(), flags=re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines()]


def test_readme_starts_with_the_page_and_the_two_commands() -> None:
    text = re.sub(r"\A---\n.*?\n---\n", "", readme(), flags=re.DOTALL)  # what a Space reads
    assert re.match(r"\s*(# [^\n]*\n\s*)?!\[[^\]]+\]\(examples/page\.png\)", text)
    commands = readme_commands()
    assert commands[:2] == [RUN, TEST]
    assert commands.count(TEST) == 1


def test_pictures_and_files_named_in_the_readme_exist() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", readme())
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_readme_front_matter_is_what_a_space_reads() -> None:
    import yaml

    front = yaml.safe_load(readme().split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert front["app_file"] == "app.py" and (ROOT / front["app_file"]).is_file()
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60
    (gradio,) = [one for one in requirements("requirements.txt") if one.name == "gradio"]
    assert gradio.specifier.contains(front["sdk_version"])
    assert f"gradio[oauth,mcp]=={front['sdk_version']}" in resolver.SPACE


def test_ci_runs_the_command_of_the_readme(tmp_path: Path) -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert f"expected='{TEST}'" in script
    # And it refuses a README that says something else, before it installs anything.
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text(script, encoding="utf-8")
    (tmp_path / "README.md").write_text(readme().replace(TEST, f"{TEST} -k nothing"))
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "exactly one test command" in done.stderr
    assert "virtual environment" not in done.stdout


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for words in ("Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"):
        assert words in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_path_of_a_machine_in_the_project() -> None:
    home = r"(?<![\w.])/(?:root|work|mnt|opt|farm|scratch)/[\w.-]+"
    words = rf"{home}|(?<![\w/])\.\./shared"
    wrong = []
    for path in tracked():
        if path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{path.relative_to(ROOT)}: {found}" for found in re.findall(words, text)]
    assert not wrong
