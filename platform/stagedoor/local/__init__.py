"""One machine: the MLflow server, the resolver and the gateway as child processes of one command."""
