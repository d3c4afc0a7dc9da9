"""`bertkit doctor` as a process: nothing is requested, nothing secret is shown, and nothing that is broken stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_models import folder

import bertkit
from bertkit.cli import main
from bertkit.errors import UsageError

SOURCE = str(Path(bertkit.__file__).parents[1])
SECRETS = {
    "HF_TOKEN": "hf_abcsecret",
    "AWS_SECRET_ACCESS_KEY": "aws+secret",
    "HTTPS_PROXY": "http://me:proxysecret@127.0.0.1:9",
    "HF_ENDPOINT": "https://mirror.example/pathsecret",
    "OMP_NUM_THREADS": "secret",
    "PIP_INDEX_URL": "https://me:pipsecret@127.0.0.1:9/simple",
}
WATCH = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{event} {arguments}\\n")
sys.addaudithook(watch)
"""


def doctor(*words: str, before: Path, **environment: str) -> tuple[int, str, str, str]:
    """Run the command, with a folder of modules before all others. Returns the exit code, the outputs and all connections."""
    (before / "sitecustomize.py").write_text(WATCH)
    watched = before / "connections"
    watched.write_text("")
    path = os.pathsep.join([str(before), SOURCE])
    own = {**os.environ, "PYTHONPATH": path, "WATCHED": str(watched), "HOME": str(before), **environment}
    command = [sys.executable, "-P", "-m", "bertkit", "doctor", "--seconds", "0", *words]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr, watched.read_text()


def test_no_connection_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "import socket\nsocket.socket().connect_ex(('127.0.0.1', 9))\n"
    )  # the watch sees it
    code, out, err, connections = doctor("--model", "nobody/nothing", "--json", before=tmp_path, **SECRETS)
    assert code == 1
    assert err == ""
    assert connections.count("\n") == 1
    assert "secret" not in out
    found = json.loads(out)
    assert not found["healthy"]
    names = [name for name, section in found["sections"].items() for one in section if one["status"] == "wrong"]
    assert {"machine", "model"} <= set(names)
    assert all(one["remedy"] for section in found["sections"].values() for one in section if one["status"] != "ok")


def test_a_broken_numpy_is_one_of_the_findings(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('this numpy is broken')\n")
    (tmp_path / "torch.py").write_text("raise OSError('no library of CUDA')\n")
    code, out, err, _ = doctor("--model", str(folder("two")), before=tmp_path)
    assert (code, err) == (1, "")
    assert "import numpy fails: RuntimeError: this numpy is broken" in " ".join(out.split())
    assert "import torch fails: OSError: no library of CUDA" in " ".join(out.split())
    assert "-> pip install --force-reinstall numpy" in out
    assert out.index("machine") < out.index("downloads") < out.index("model ")  # the other checks are there


def test_the_page_and_the_data_say_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bertkit.diagnosis.running.probed", lambda seconds: {"numpy": {}}
    )  # the process has its own tests
    words = ["doctor", "--seconds", "0", "--model", str(folder("two"))]
    code = main(words)
    page = capsys.readouterr().out
    assert main([*words, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["healthy"] == (code == 0)
    findings = [one for section in found["sections"].values() for one in section]
    starts = [line.split()[0] for line in page.splitlines() if line.startswith(("  ok ", "  note ", "  wrong "))]
    assert starts == [one["status"] for one in findings]
    assert [line for line in page.splitlines() if line in found["sections"]] == list(found["sections"])
    assert max(map(len, page.splitlines())) < 200
    assert page.splitlines()[-1].startswith("nothing wrong" if code == 0 else f"{starts.count('wrong')} wrong")


@pytest.mark.parametrize("seconds", [-1.0, 11.0, float("nan")])
def test_an_invalid_time(seconds: float) -> None:
    with pytest.raises(UsageError, match="must be from 0 to 10"):
        bertkit.doctor(seconds=seconds)
