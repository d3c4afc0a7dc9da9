"""Two replicas of a server on a local Ray, as lines of JSON on stdout: python tests/support/ray_serve_job.py MODEL

In a process of its own, as Ray leaves threads and processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from bertkit.serve import Settings

TEXT = "Anna moved to Paris."
COUNT = 40


def main(model: str) -> None:
    """Print the answers, the states of the replicas, the requests that each answered, and the status of a wrong request."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}  # read when Ray is imported
    os.environ |= {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "500"}  # on a busy machine
    import ray
    from ray import serve

    from bertkit.serve.ray import deployment

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with contextlib.suppress(TimeoutError):  # the proxy may start later
        serve.start(http_options={"host": "127.0.0.1", "port": port})
    settings = Settings(models={"films": model}, engine="numpy", max_client_batch_size=2)
    serve.run(deployment(settings, min_replicas=2, max_replicas=2, cpus=0.5))
    where = f"http://127.0.0.1:{port}"
    while not is_open(port):
        time.sleep(0.1)
    answers = {json.dumps(send(f"{where}/predict", {"inputs": TEXT})[1]) for _ in range(COUNT)}
    print(json.dumps([json.loads(one) for one in answers]), flush=True)
    states = serve.status().applications["default"].deployments["bertkit"].replica_states
    print(json.dumps({str(getattr(name, "value", name)): count for name, count in states.items()}), flush=True)
    print(json.dumps(sorted(counts(where))), flush=True)
    health = {send(f"{where}/health")[0] for _ in range(10)}
    print(json.dumps([sorted(health), send(f"{where}/predict", {"inputs": [["a"]] * 3})[0]]), flush=True)
    serve.shutdown()
    ray.shutdown()


def is_open(port: int) -> bool:
    """Whether the proxy of Ray listens."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def counts(where: str) -> set[float]:
    """The numbers of answered requests of the replicas, one of which answers each request for them."""
    found, until = set(), time.monotonic() + 30
    while sum(found) < COUNT and time.monotonic() < until:
        text = urllib.request.urlopen(f"{where}/metrics", timeout=60).read().decode()
        found |= {float(one) for one in re.findall(r'^te_request_success\{method="single"\} (.+)$', text, re.MULTILINE)}
        if found == {COUNT / 2}:
            break
    return found


def send(url: str, body: Any = None) -> tuple[int, Any]:
    """The status and the answer to a request."""
    given = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, given, {"content-type": "application/json"}), timeout=60
        ) as response:
            found = response.read()
            return response.status, json.loads(found) if found else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


if __name__ == "__main__":
    main(sys.argv[1])
