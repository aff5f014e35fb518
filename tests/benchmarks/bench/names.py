"""What servers, workloads and scenarios are called in the readings."""

from typing import Final

LINEAR: Final = "linear"
FOREST: Final = "forest"
MLP: Final = "mlp"
WORKLOADS: Final = (LINEAR, FOREST, MLP)

OURS: Final = "stagedoor"
FALLBACK: Final = "stagedoor-asgi"
UNBATCHED: Final = "stagedoor-unbatched"
ECHO: Final = "echo"
TRITON: Final = "triton"
TRITON_EAGER: Final = "triton-eager"
MLFLOW: Final = "mlflow"
MLFLOW_FAST: Final = "mlflow-fast"
KSERVE: Final = "kserve"
LITSERVE: Final = "litserve"
BENTOML: Final = "bentoml"
MLSERVER: Final = "mlserver"
RAY: Final = "ray"
OWN: Final = frozenset({OURS, FALLBACK, UNBATCHED, ECHO})
"""What is no neighbour."""

WORKERS: Final = "workers"
"""Workload of the closed-loop runs with other numbers of workers; bench.scaling says what their servers are called."""
DEMO: Final = "demo"
"""Workload of the gateway with the demo's models in it."""
RESTART: Final = "restart"
"""Workload of a gateway started anew on a state folder that has been in use."""

REQUEST: Final = "request"
ROUTING: Final = "routing"
MODEL: Final = "model"
INSTRUCTIONS: Final = "instructions"
RECORDING: Final = "instructions of metrics and log"
ONE: Final = "1 registered, 1 loaded"
HUNDRED: Final = "100 registered, 1 loaded"
MANY: Final = "5,000 registered, 1 loaded"
LOADED: Final = "50 registered, 50 loaded, one asked"
IN_TURN_10: Final = "10 registered, 10 loaded, asked in turn"
IN_TURN: Final = "50 registered, 50 loaded, asked in turn"
IN_TURN_200: Final = "200 registered, 200 loaded, asked in turn"
ARMS_20: Final = "1 registered, 20 arms"
ARMS: Final = "1 registered, 100 arms"
SCENARIOS: Final = (ONE, HUNDRED, MANY, LOADED, IN_TURN_10, IN_TURN, IN_TURN_200, ARMS_20, ARMS)
"""The first is what the others are held against; its model, and each of them where nothing else is said, has two arms."""
TIMED: Final = (HUNDRED, MANY, LOADED, IN_TURN, IN_TURN_200, ARMS)
"""Those with a target for their time; 10 and 20 show the way there."""
COUNTED: Final = (ONE, MANY, IN_TURN_10, IN_TURN, ARMS_20, ARMS)
"""Those whose instructions are counted."""

OVERLOAD: Final = "overload"


def overload_of(workload: str) -> str:
    """As what the overload with this model is told if it is missing."""
    return f"{OVERLOAD}, {workload}"


GROWTH: Final = "growth"
PARTS: Final = (*WORKLOADS, OVERLOAD, WORKERS, GROWTH, RESTART, DEMO)
"""What can be measured by itself with `--only`."""
