"""All neighbours, in the order of the tables."""

from peers.bentoml import BENTOML
from peers.contract import Peer
from peers.kserve import KSERVE
from peers.litserve import LITSERVE
from peers.mlflow_serve import MLFLOW, MLFLOW_FAST
from peers.mlserver import MLSERVER
from peers.ray_serve import RAY
from peers.triton import TRITON, TRITON_EAGER

PEERS: tuple[Peer, ...] = (TRITON, TRITON_EAGER, MLFLOW, MLFLOW_FAST, KSERVE, MLSERVER, LITSERVE, BENTOML, RAY)
