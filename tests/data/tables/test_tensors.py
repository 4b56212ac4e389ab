"""Tensors, datasets of tensors and loaders, recognized by their protocols, as the data of a run."""

from __future__ import annotations

import ast
import warnings

import numpy as np
import pytest

from mlops_workbench.capture import log, log_dataset, track
from mlops_workbench.capture.observe.fit import cell_use
from mlops_workbench.core.records import Dataset, Metrics
from mlops_workbench.data.describe import describe_dataset
from mlops_workbench.data.digest import digest_data
from mlops_workbench.data.reference import sample_fit_data
from mlops_workbench.data.tables.tensors import readable


class Tensor:
    """A tensor by DLPack's protocol, optionally on a device, optionally with gradients."""

    def __init__(self, values, device=1, grad=False):
        self.values = np.asarray(values)
        self.device = device
        self.grad = grad

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    def __dlpack_device__(self):
        return (self.device, 0)

    def __dlpack__(self, **options):
        if self.device != 1:
            raise AssertionError("copied from a device")
        if self.grad:
            raise BufferError("Can't export tensors that require gradient")
        return self.values.__dlpack__()

    def detach(self):
        return Tensor(self.values, self.device)

    def size(self):
        return self.shape

    def item(self):
        return self.values.item()

    def __float__(self):
        if self.grad:
            warnings.warn("Converting a tensor with requires_grad=True to a scalar", UserWarning, stacklevel=2)
        return float(self.values)


class TensorDataset:
    def __init__(self, *tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors[0].values)

    def __getitem__(self, i):
        raise AssertionError("gone through")


class Subset(TensorDataset):
    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, indices

    def __len__(self):
        return len(self.indices)


class Loader:
    def __init__(self, dataset, batch_size):
        self.dataset, self.batch_size = dataset, batch_size

    def __iter__(self):
        raise AssertionError("gone through")


class Pictures:
    """A dataset that makes its elements when they are asked for."""

    def __len__(self):
        return 7

    def __getitem__(self, i):
        raise AssertionError("gone through")


X = np.arange(12, dtype="float32").reshape(6, 2)
Y = np.arange(6)


def described(data):
    return describe_dataset("r", data, "d")


def test_a_tensor_is_the_array_that_it_holds():
    assert described(Tensor(X)).digest == described(X).digest == described(Tensor(X, grad=True)).digest
    assert np.shares_memory(readable(Tensor(X)), X)
    assert described(Tensor(X)).rows == 6 and len(described(Tensor(X)).columns) == 2


def test_a_tensor_on_a_device_stays_there():
    found = described(Tensor(X, device=2))
    assert (found.rows, found.covers, found.profile["shape"]) == (6, "shape", [6, 2])
    assert found.profile["elements"] == "float32"


def test_a_dataset_of_tensors_has_the_version_of_its_content():
    found = described(TensorDataset(Tensor(X), Tensor(Y)))
    assert (found.rows, found.covers) == (6, "content")
    changed = Y.copy()
    changed[3] += 1
    assert described(TensorDataset(Tensor(X), Tensor(changed))).digest != found.digest
    assert described(TensorDataset(Tensor(X.copy()), Tensor(Y.copy()))).digest == found.digest
    assert described(Loader(TensorDataset(Tensor(X), Tensor(Y)), 2)).digest == found.digest
    assert found.profile["parts"] == [{"dtype": "float32", "shape": [6, 2]}, {"dtype": "int64", "shape": [6]}]


def test_a_part_of_a_dataset_has_a_version_of_its_own():
    whole = TensorDataset(Tensor(X), Tensor(Y))
    some, others = described(Loader(Subset(whole, [0, 1, 2]), 2)), described(Subset(whole, [0, 1, 5]))
    assert (some.rows, others.rows) == (3, 3) and some.digest != others.digest
    assert described(Subset(Subset(whole, [2, 1, 0]), [2, 1, 0])).digest == some.digest
    assert digest_data(readable(Subset(whole, [0, 1, 2])), 1e-12).covers == "sampled"


def test_a_dataset_that_creates_its_elements_is_not_iterated():
    found = described(Loader(Pictures(), 2))
    assert (found.rows, found.covers) == (7, "shape") and found.profile["kind"].endswith("Pictures")


def test_tensors_can_be_logged_as_data(session, records):
    with track("r"):
        log_dataset(Tensor(X), "one")
        log_dataset(Loader(TensorDataset(Tensor(X), Tensor(Y)), 2), "many", snapshot=False)
    assert [(data.name, data.rows, data.covers) for data in records.of(Dataset, "r")] == [
        ("one", 6, "content"),
        ("many", 6, "content"),
    ]


def test_a_loss_with_gradients_is_logged_without_a_warning(session, records):
    with warnings.catch_warnings(), track("r"):
        warnings.simplefilter("error")
        log(loss=Tensor(np.float32(0.5), grad=True), whole=Tensor(np.array([2.0]), grad=True))
    assert records.values(Metrics, "r") == {"loss": 0.5, "whole": 2.0}


def test_what_a_network_is_fed_with_is_inputs_and_target():
    found = sample_fit_data(Loader(TensorDataset(Tensor(X), Tensor(Y)), 2))
    assert found is not None
    assert np.array_equal(found.X, X) and np.array_equal(found.y, Y)


@pytest.mark.parametrize("data", [Tensor(X), Tensor(X, device=2)])
def test_tensors_that_went_into_fit_are_seen(data):
    class Estimator:
        def fit(self, X, y): ...
        def predict(self, X): ...
        def get_params(self, deep=True):
            return {}

    use = cell_use(ast.parse("m.fit(T, t)"), {"m": Estimator(), "T": data, "t": Tensor(Y)})
    assert [(found.name, described(found.value).rows) for found in use.data] == [("T", 6), ("t", 6)]
