"""What Slicer ships is what lies in the tree: a file that CMake does not list is missing once installed."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
MODULES = ("COVIDSelfSeg", "COVIDSelfSegTraining")


def listed(module: str, variable: str) -> list[str]:
    """The files of ``set(VARIABLE ...)`` in a module's CMakeLists.txt."""
    text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
    match = re.search(rf"^set\({variable}\n(.*?)\n  \)$", text, re.MULTILINE | re.DOTALL)
    if match is None:
        return []
    return [line.strip().replace("${MODULE_NAME}", module) for line in match[1].splitlines()]


def in_tree(module: str, pattern: str) -> set[str]:
    folder = ROOT / module
    found = (path.relative_to(folder) for path in folder.rglob(pattern) if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


@pytest.mark.parametrize("module", MODULES)
def test_every_python_file_is_listed_once(module: str) -> None:
    scripts = listed(module, "MODULE_PYTHON_SCRIPTS")
    assert len(scripts) == len(set(scripts))
    assert in_tree(module, "*.py") - set(scripts) == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_resource_is_listed_once(module: str) -> None:
    resources = listed(module, "MODULE_PYTHON_RESOURCES")
    assert len(resources) == len(set(resources))
    files = in_tree(module, "Resources/**/*")
    # Model packages are listed by their ending, since every training makes others.
    globbed = {name for name in files if re.fullmatch(r"Resources/Models/.+\.safetensors", name)}
    assert files - set(resources) - globbed - {"Resources/Models/.gitkeep"} == set()


def test_model_packages_are_shipped() -> None:
    text = (ROOT / "COVIDSelfSeg" / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"file\(GLOB_RECURSE MODULE_MODELS .*?Resources/Models/\*\.safetensors", text, re.DOTALL)
    assert "list(APPEND MODULE_PYTHON_RESOURCES ${MODULE_MODELS})" in text


@pytest.mark.parametrize("module", MODULES)
def test_every_listed_file_exists(module: str) -> None:
    if not (ROOT / module / f"{module}.py").exists():
        pytest.skip(f"{module}.py is not here")
    for name in listed(module, "MODULE_PYTHON_SCRIPTS") + listed(module, "MODULE_PYTHON_RESOURCES"):
        assert (ROOT / module / name).is_file(), name


@pytest.mark.parametrize("module", MODULES)
def test_no_python_file_but_the_module_lies_in_a_module_folder(module: str) -> None:
    # Slicer would try to load it as a module.
    assert {path.name for path in (ROOT / module).glob("*.py")} <= {f"{module}.py"}


def test_the_extension_builds_both_modules_and_depends_on_pytorch() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for module in MODULES:
        assert f"add_subdirectory({module})" in text
    assert "set(EXTENSION_DEPENDS PyTorch)" in text
    for variable in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS"):
        assert re.search(rf'^set\(EXTENSION_{variable} "[^"]+"\)$', text, re.MULTILINE), variable


def test_the_addresses_of_icon_and_screenshots_are_files_of_this_repository() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    addresses = re.findall(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/main/([^\s\"]+)", text)
    assert len(addresses) >= 2
    for address in addresses:
        assert (ROOT / address).is_file(), address


def test_the_catalog_entry_follows_its_schema() -> None:
    entry = json.loads((ROOT / "COVIDSelfSeg.json").read_text(encoding="utf-8"))
    assert set(entry) <= {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "enabled",
        "scm_revision",
        "scm_type",
        "scm_url",
        "tier",
    }
    assert entry["category"] == "Segmentation"
    assert entry["build_dependencies"] == ["PyTorch"]
    assert entry["scm_url"].endswith("/SlicerCOVIDSelfSeg.git")
    assert 1 <= entry["tier"] <= 5


@pytest.mark.parametrize(
    "name", ["COVIDSelfSeg/Resources/Icons/COVIDSelfSeg.png", "Resources/COVIDSelfSeg.png"]
)
def test_icons_are_square_and_transparent(name: str) -> None:
    with Image.open(ROOT / name) as icon:
        assert icon.size == (128, 128)
        assert icon.mode == "RGBA"
        assert icon.getpixel((0, 0))[3] == 0


@pytest.mark.parametrize("module", MODULES)
def test_a_slicer_that_is_too_old_is_told_so_before_anything_is_imported(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 10))
    with pytest.raises(RuntimeError, match=r"3D Slicer 5\.10 or later"):
        runpy.run_path(str(ROOT / module / f"{module}.py"))
