"""Masking of secrets in text before it is written: by their values, names, places, forms and randomness."""

from mlops_workbench.core.secrets.formats import MASK as MASK
from mlops_workbench.core.secrets.masking import mask as mask
from mlops_workbench.core.secrets.masking import mask_value as mask_value
from mlops_workbench.core.secrets.registered import register_environment as register_environment
from mlops_workbench.core.secrets.registered import register_secrets as register_secrets
