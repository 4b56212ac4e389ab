"""Allow-list of environment variables that affect computations."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_workbench.core.secrets import mask_value

_NAMES = frozenset(
    {
        "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_HOME",
        "CUDA_LAUNCH_BLOCKING", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE", "HIP_VISIBLE_DEVICES",
        "JAX_PLATFORMS", "KERAS_BACKEND", "LANG", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOCAL_RANK",
        "LOKY_MAX_CPU_COUNT", "MALLOC_ARENA_MAX", "MPLBACKEND", "NUMBA_NUM_THREADS", "NUMEXPR_MAX_THREADS",
        "NUMEXPR_NUM_THREADS", "NVIDIA_VISIBLE_DEVICES", "POLARS_MAX_THREADS", "PYTHONHASHSEED", "PYTHONOPTIMIZE",
        "PYTHONPATH", "PYTORCH_CUDA_ALLOC_CONF", "RANK", "RAYON_NUM_THREADS", "SCIPY_ARRAY_API",
        "TF_DETERMINISTIC_OPS", "TOKENIZERS_PARALLELISM", "TRANSFORMERS_OFFLINE", "TZ", "VECLIB_MAXIMUM_THREADS",
        "VIRTUAL_ENV", "WORLD_SIZE", "XLA_FLAGS",
    }
)  # fmt: skip
_PREFIXES = (
    "BLIS_", "GOMP_", "GOTO_", "KMP_", "LC_", "MKL_", "MLFLOW_", "MLOPS_", "NCCL_", "OMP_", "OPENBLAS_", "SKLEARN_",
    "SLURM_", "TF_",
)  # fmt: skip


def described_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the set variables of the allow-list in order of name, with masked secrets."""
    return {
        name: mask_value(name, value)
        for name, value in sorted(environ.items())
        if name in _NAMES or name.startswith(_PREFIXES)
    }
