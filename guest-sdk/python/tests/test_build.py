import sys

import pytest
from weir_sdk import build

POLICY = """
import borrowed
import borrowed.inner
import alone
import json
from weir_sdk import Policy

class Any(Policy[None]):
    def authorize(self, summary):
        pass
"""


def test_packages_that_a_policy_loads_are_found_for_the_component(tmp_path, monkeypatch):
    (tmp_path / "site/borrowed").mkdir(parents=True)
    (tmp_path / "site/borrowed/__init__.py").write_text("")
    (tmp_path / "site/borrowed/inner.py").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/alone.py").write_text("")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/some_policy.py").write_text(POLICY)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site"), str(tmp_path / "other")])
    found = build.find(str(tmp_path / "own/some_policy.py"))
    assert found.hooks == ["access"]
    assert found.packages == [tmp_path / "other", tmp_path / "site"]


def test_a_package_that_is_not_there_is_named(tmp_path):
    (tmp_path / "lacking.py").write_text("import nobody_has_this")
    with pytest.raises(build.Trouble, match="lacking.py imports `nobody_has_this`"):
        build.find(str(tmp_path / "lacking.py"))
