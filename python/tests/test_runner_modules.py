"""Which modules a worker says that its functions can import."""

import sys
import types
from pathlib import Path

import pytest

from farhand import runner_modules


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only one on the path."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path
                                           if finder.__module__.startswith("_frozen_importlib")])
    return tmp_path


def names():
    return set(runner_modules.importable_modules().split(",")) - set(sys.builtin_module_names)


def test_files_packages_and_plain_folders_count(folder):
    for file in ("plain.py", "native.so", "plain.txt", "no-name.py",
                 "\u00e4.py", "README", "wheel-1.0.dist-info"):
        (folder / file).touch()
    for name in ("package", "namespace", "a.b", "not-one"):
        (folder / name).mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "link").symlink_to("package")
    assert names() == {"plain", "native", "package", "namespace", "link"}


def test_names_are_sorted_and_what_is_built_in_is_among_them(folder):
    found = runner_modules.importable_modules().split(",")
    assert found == sorted(found) and "sys" in found


def test_a_path_that_leads_nowhere_offers_nothing(folder):
    sys.path.append(str(folder / "none"))
    assert names() == set()


def test_an_empty_path_is_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "here.py").touch()
    sys.path[:] = [""]
    assert names() == {"here"}


def test_projects_that_are_installed_to_be_edited_count(folder, monkeypatch):
    module = types.ModuleType("__editable___mine_1_0_finder")
    module.MAPPING = {"mine": "/src/mine", "other.part": "/src/other/part"}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    finder = type("Finder", (), {"__module__": module.__name__})
    sys.meta_path.append(finder)
    assert names() == {"mine", "other"}
    sys.meta_path[-1] = finder()
    assert names() == {"mine", "other"}


def test_where_it_cannot_be_known_nothing_is_claimed(folder):
    assert runner_modules.importable_modules()
    sys.meta_path.append(type("Finder", (), {"__module__": "of_somebody"}))
    assert runner_modules.importable_modules() == ""
    sys.meta_path.pop()
    archive: Path = folder / "eggs.zip"
    archive.touch()
    sys.path.append(str(archive))
    assert runner_modules.importable_modules() == ""


def test_too_many_names_are_not_told_in_part(folder, monkeypatch):
    (folder / "one.py").touch()
    monkeypatch.setattr(runner_modules, "NAMES_MAX", len(runner_modules.importable_modules()))
    assert "one" in names()
    (folder / "two.py").touch()
    assert runner_modules.importable_modules() == ""
