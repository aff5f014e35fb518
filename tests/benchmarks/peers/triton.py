"""NVIDIA Triton: the server inside the wheel of nvidia-pytriton, with its Python backend over ONNX Runtime, 2 instances.

That wheel has no native ONNX backend; with it Triton would be faster still. Dynamic batching for both models, with up to
0.5 ms of waiting for more rows; for the small model also without waiting, which does better where there is little to wait for.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from functools import partial
from pathlib import Path

import onnxruntime

from peers.contract import LINEAR, MLP, Workload
from peers.environment import Environment, pinned
from peers.launching import APPS, Launch, Neighbour

_INSTANCES = 2
_MAX_BATCH = 64
_QUEUE_DELAY_US = 500
_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}
_ENVIRONMENT = Environment("triton", "nvidia-pytriton", ("nvidia-pytriton==0.7.0", "numpy<2", pinned("onnxruntime")))
_SERVER = _ENVIRONMENT.packages / "pytriton" / "tritonserver"
_LIBRARIES = (_ENVIRONMENT.packages / "nvidia_pytriton.libs", Path(sysconfig.get_config_var("LIBDIR")))


def _plan(workload: Workload, folder: Path, port: int, *, delay_us: int = _QUEUE_DELAY_US) -> Launch:
    input_name = _write_repository(folder / "models", workload, delay_us)
    flags = {
        "model-repository": folder / "models",
        "backend-directory": _copy_backends(folder),
        "http-address": "127.0.0.1",
        "http-port": port,
        "allow-grpc": "false",
        "allow-metrics": "false",
        "log-info": "false",
        "exit-timeout-secs": 1,  # it waits so long whether anything is left to wait for or not
    }
    return Launch(
        command=[str(_SERVER / "bin" / "tritonserver"), *(f"--{flag}={value}" for flag, value in flags.items())],
        url=f"http://127.0.0.1:{port}/v2/models/{workload.name}/infer",
        body=workload.v2_body(input_name),
        # The stub loads the interpreter's own library, and fails with libraries that another process inherited to it.
        env={"LD_LIBRARY_PATH": ":".join(map(str, _LIBRARIES))},
    )


def _copy_backends(folder: Path) -> Path:
    """The wheel's Python backend, with the stub for this version of Python in its place."""
    backends = folder / "backends"
    shutil.copytree(_SERVER / "backends", backends)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.copy(_SERVER / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    return backends


def _write_repository(models: Path, workload: Workload, delay_us: int) -> str:
    """One model with its configuration; gives the name of its input."""
    session = onnxruntime.InferenceSession(workload.onnx, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    version = models / workload.name / "1"
    version.mkdir(parents=True)
    shutil.copy(APPS / "triton_model.py", version / "model.py")
    shutil.copy(APPS / "onnx_session.py", version)  # the stub has a path of its own, not PYTHONPATH
    parts = [
        f'backend: "python"\nmax_batch_size: {_MAX_BATCH}\n',
        *(_tensor("input", value) for value in inputs),
        *(_tensor("output", value) for value in outputs),
        f"instance_group [{{ count: {_INSTANCES} kind: KIND_CPU }}]\n",
        f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}\n",
    ]
    (models / workload.name / "config.pbtxt").write_text("".join(parts))
    return str(inputs[0].name)


def _tensor(kind: str, value: onnxruntime.NodeArg) -> str:
    """A tensor without its first dimension, which is the batch's. Triton has no scalars: a label is a vector of one."""
    shape = [size for size in value.shape[1:] if isinstance(size, int)] or [1]
    return f'{kind} [{{ name: "{value.name}" data_type: {_TYPES[value.type]} dims: {shape} }}]\n'


TRITON = Neighbour(_ENVIRONMENT, frozenset({LINEAR, MLP}), _plan)
TRITON_EAGER = Neighbour(_ENVIRONMENT, frozenset({LINEAR}), partial(_plan, delay_us=0), variant="eager")
