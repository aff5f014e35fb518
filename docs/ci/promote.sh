#!/usr/bin/env bash
# Gate and promote one registered version from any CI system, and fail the build if it does not hold.
#
#   promote.sh MODEL VERSION [STRATEGY]        as in: promote.sh fraud 8 "canary steps=5,25,100"
#
# Needs: pip install stagedoor, and in the environment
#   STAGEDOOR_URL            a Stagedoor controller or gateway
#   MLFLOW_TRACKING_TOKEN    a token with the role promoter
# TIMEOUT (2h) bounds the wait. Exit codes: 0 live, 3 refused or rolled back, 4 not at its end in time, else 1 or 2.
set -euo pipefail

if [[ $# -lt 2 ]]; then
  echo "usage: promote.sh MODEL VERSION [STRATEGY]" >&2
  exit 2
fi
: "${STAGEDOOR_URL:?Set it to the address of a Stagedoor controller or gateway.}"
: "${MLFLOW_TRACKING_TOKEN:?Set it to a token with the role promoter; stagedoor token issues one.}"

exec mlflow deployments create --target "stagedoor:$STAGEDOOR_URL" \
  --name "$1" --model-uri "models:/$1/$2" \
  -C "strategy=${3:-canary}" -C wait=true -C "timeout=${TIMEOUT:-2h}"
