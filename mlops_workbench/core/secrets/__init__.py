"""Masking of secrets in text before it is written: by their names, their places, their forms and their randomness."""

from mlops_workbench.core.secrets.formats import MASK as MASK
from mlops_workbench.core.secrets.masking import mask as mask
from mlops_workbench.core.secrets.masking import mask_value as mask_value
