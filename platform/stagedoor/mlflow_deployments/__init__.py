"""`mlflow deployments -t stagedoor:URL`: the door for CI pipelines.

The entry point of the group `mlflow.deployments`. MLflow asks of it a client class, `run_local` and `target_help`.
"""

from stagedoor.mlflow_deployments.client import StagedoorDeploymentClient
from stagedoor.mlflow_deployments.guide import target_help
from stagedoor.mlflow_deployments.local import run_local

__all__ = ["StagedoorDeploymentClient", "run_local", "target_help"]
