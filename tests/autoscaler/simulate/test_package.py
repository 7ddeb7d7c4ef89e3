"""The simulator is for people at a command line: the Lambda function neither carries nor imports it."""

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from deploy.package import build_lambda


def test_the_lambda_does_not_carry_the_simulator(tmp_path: Path) -> None:
    with ZipFile(build_lambda("autoscaler", tmp_path / "code.zip")) as archive:
        names = archive.namelist()

    assert "autoscaler/planning/plan.py" in names
    assert [name for name in names if "simulate" in name] == []


def test_the_lambda_does_not_import_the_simulator() -> None:
    code = "import json, sys, autoscaler.handler; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    modules = json.loads(done.stdout)

    assert "autoscaler.planning.plan" in modules
    assert [name for name in modules if "simulate" in name or name == "matplotlib"] == []
