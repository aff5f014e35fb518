"""Custom models, logged as code: MLflow stores these very files, so that no pickle is needed."""
