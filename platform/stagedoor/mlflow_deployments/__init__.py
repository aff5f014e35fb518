"""`mlflow deployments -t stagedoor:URL`: the door for CI pipelines."""
