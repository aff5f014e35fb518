"""What `mlflow deployments help -t stagedoor` prints."""

from typing import Final

_TEXT: Final = """\
Stagedoor: gated promotions of registered models behind one gateway.

Target    stagedoor:http://HOST:PORT, a controller's or a gateway's address. The token comes from MLFLOW_TRACKING_TOKEN
          (else STAGEDOOR_TOKEN) and needs the role promoter; predictor suffices for `predict`.
Name      a deployment is a registered model: --name fraud -m models:/fraud/8 (or models:/fraud@ALIAS, models:/fraud/latest).

create    Gates and promotes the version and shows how far it is. Ends with the reason and exit code 3 if a gate or the
          rollout fails, 4 if time runs out first, 1 for anything else.
            -C strategy=canary       canary, shadow, blue-green, rolling or immediate; settings as in the tag stagedoor.rollout:
                                     -C "strategy=canary steps=5,25,100 interval=60s", or each by itself: -C steps=5,25,100
            -C wait=true             false returns as soon as the promotion has been asked for
            -C timeout=1h            how long to wait; the rollout goes on beyond it
            -C semver=1.4.2          tags the version, for `stagedoor rollback --to 1.4.2`
            -C alias=champion        another alias is moved without a rollout, and nothing is waited for
update    With -m as create. Without: -C traffic=champion=90,challenger=10 splits by hand, -C traffic=off ends it;
          -C sticky=header:X-User-Id (or claim:sub, or off); wait and timeout as above.
delete    -C confirm=true takes the model out of service. Nothing is deleted in MLflow.
list, get, predict
          predict -I FILE takes JSON records, or a whole /invocations body. --name fraud@challenger asks for an alias.
run-local Serves one model of any URI on this machine until Ctrl-C: -C port=8000, -C workers=1.
"""


def target_help() -> str:
    """The whole help in one text."""
    return _TEXT
