"""Endpoints over a server's models, with the control API that makes and changes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tradewind.serving.server.deployments import Deployments
from tradewind.serving.server.endpoints.control_plane import ControlPlane
from tradewind.serving.server.endpoints.engine import Endpoints
from tradewind.serving.server.endpoints.metrics import endpoint_families
from tradewind.serving.server.engine import ModelEngine
from tradewind.serving.server.http import sagemaker_async, sagemaker_control
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.server.later_answers import LaterAnswers
from tradewind.serving.server.metrics.families import Family
from tradewind.serving.server.transform_jobs import TransformJobs
from tradewind.session.model_folders import model_folder


def endpoints_over(
    models: ModelEngine, library: Deployments, folder: Path, said: Callable[[str], None]
) -> tuple[Endpoints, Callable[[Routes], None], Callable[[], list[Family]]]:
    """The engine of a server with endpoints, what adds their control API to its paths, and their metrics.

    `library` is that of `models`; `folder` keeps what is made. Misuse where it cannot.
    """
    endpoints = Endpoints(models, library, folder, locate=model_folder, said=said)
    plane = ControlPlane(endpoints)
    jobs, later = TransformJobs(plane, said), LaterAnswers(endpoints, said)

    def pages(routes: Routes) -> None:
        sagemaker_control.add_routes(routes, plane, jobs.operations)
        sagemaker_async.add_routes(routes, later)

    return endpoints, pages, lambda: endpoint_families(endpoints)
