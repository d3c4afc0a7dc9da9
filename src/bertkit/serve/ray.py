"""The server on a cluster of Ray: replicas whose number follows the requests.

    from ray import serve
    from bertkit.serve import Settings
    from bertkit.serve.ray import deployment

    serve.run(deployment(Settings(models={"films": "DIR"}), max_replicas=8))

Each replica is a server with its own models and queue. Replicas share nothing, so that any of them may answer any request.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette

from bertkit.errors import MissingExtraError, UsageError
from bertkit.serve.application import app_of
from bertkit.serve.logs import log_as_json
from bertkit.serve.server import Server
from bertkit.serve.settings import Settings


def deployment(
    settings: Settings,
    *,
    min_replicas: int = 1,
    max_replicas: int = 4,
    target_ongoing_requests: int = 16,
    cpus: float = 1.0,
    gpus: float = 0.0,
    drain: int = 25,
) -> Any:
    """The server as a `ray.serve.Application`, for `serve.run`.

    A replica gets requests after its models are open. Ray adds replicas while there are more requests than
    `target_ongoing_requests` for each.

    Args:
        settings: the models and the limits of each replica. Every machine needs the models by these names.
        min_replicas: the fewest replicas.
        max_replicas: the most replicas.
        target_ongoing_requests: requests that wait or run at a replica. They share batches, so that one is too few.
        cpus: the cores of a replica.
        gpus: the GPUs of a replica.
        drain: the most seconds in which a replica that is removed answers its requests.
    """
    if not 1 <= min_replicas <= max_replicas:
        raise UsageError(
            f"min_replicas={min_replicas} and max_replicas={max_replicas} are invalid: the first must be at least 1, and at "
            "most the second."
        )

    try:
        from ray import serve
    except ImportError as error:
        raise MissingExtraError('"ray[serve]"', None, "bertkit.serve.ray") from error

    def build() -> Starlette:
        log_as_json()
        server = Server(settings)
        server.load()
        return app_of(server)

    replica: Any = serve.deployment(
        serve.ingress(build)(),
        name="bertkit",
        max_ongoing_requests=settings.max_concurrent_requests,
        max_queued_requests=settings.max_concurrent_requests,
        graceful_shutdown_timeout_s=drain,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        autoscaling_config={
            "min_replicas": min_replicas,
            "max_replicas": max_replicas,
            "target_ongoing_requests": target_ongoing_requests,
        },
    )
    return replica.bind()
