"""Networks, optimizers, loaders and trainers of any library are recognized by their protocols."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import numpy as np

from mlops_workbench.capture.observe.fit import cell_use
from mlops_workbench.capture.observe.foresight import foreseen_models
from mlops_workbench.capture.observe.learning import last_metrics, learning_curves
from mlops_workbench.capture.observe.metric_values import Measurements
from mlops_workbench.capture.observe.networks import network_structure, part_params
from mlops_workbench.capture.observe.scope import Before, read_before


class Weight:
    shape = (3, 2)
    requires_grad = True

    def numel(self):
        return 6


class Module:
    """After torch.nn.Module."""

    def __init__(self):
        self._parameters = {}
        self._modules = {}

    def state_dict(self): ...
    def load_state_dict(self, state): ...
    def forward(self, x): ...
    def parameters(self):
        return list(self._parameters.values())

    def named_parameters(self):
        return self._parameters.items()

    def to(self, device):
        return self

    def __call__(self, x):
        return x


class Net(Module):
    def __init__(self, hidden=4, *, dropout=0.0):
        super().__init__()
        self._parameters = {"w": Weight()}

    def __repr__(self):
        return "Net(\n  (layer): Linear\n)"


class Loss(Module):
    pass


class Adam:
    def __init__(self, params, lr=0.1, weight_decay=0.0): ...
    def state_dict(self): ...
    def load_state_dict(self, state): ...


class Loader:
    def __init__(self, dataset, batch_size=1, shuffle=False):
        self.dataset, self.batch_size = dataset, batch_size

    def __iter__(self): ...


class Trainer:
    """After lightning's."""

    def __init__(self, max_epochs=1, accelerator="auto"):
        self.max_epochs = max_epochs

    def fit(self, model, train=None, val=None): ...
    def predict(self, model): ...

    @property
    def callback_metrics(self):
        return {"loss": np.float32(0.5), "val_loss": np.array(0.25), "text": "no"}


CLASSES = {"Net": Net, "Loss": Loss, "Adam": Adam, "Loader": Loader, "Trainer": Trainer}

LOOP = """
hidden = 8
net = Net(hidden, dropout=0.2).to("cpu")
criterion = Loss()
optimizer = Adam(net.parameters(), lr=1e-3)
loader = Loader(data, batch_size=32)
for epoch in range(3):
    for x, y in tqdm(loader):
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
    for x, y in val_loader:
        net(x)
"""


def after(code, **names):
    """The namespace after the assignments of a cell."""
    space = {**CLASSES, **names}
    tree = ast.parse(code)
    built = ast.Module([line for line in tree.body if isinstance(line, ast.Assign)], [])
    before = read_before(tree, space)
    exec(compile(built, "cell", "exec"), space)
    return tree, space, before


def test_a_training_loop_gives_its_network_its_data_and_the_arguments_of_its_parts():
    tree, names, before = after(LOOP, data=[1], val_loader=Loader([1]))
    use = cell_use(tree, names)
    assert [(fit.name, type(fit.model), fit.X.name) for fit in use.fits] == [("net", Net, "loader")]
    assert [(data.name, data.context) for data in use.data] == [("loader", "training"), ("val_loader", "validation")]
    assert part_params(tree, names, before) == {
        "net.hidden": 8,
        "net.dropout": 0.2,
        "criterion": "Loss",
        "optimizer": "Adam",
        "optimizer.lr": 1e-3,
        "loader.batch_size": 32,
    }


def test_a_loop_that_learns_nothing_trains_no_network():
    tree, names, _ = after("for x, y in loader:\n    net(x)", net=Net(), loader=Loader([1]))
    use = cell_use(tree, names)
    assert use.fits == [] and [data.context for data in use.data] == ["test"]


def test_parts_that_the_cell_did_not_build_are_not_recorded_again():
    tree, names, before = after("n = 1", optimizer=Adam([], lr=1), loader=Loader([1]))
    assert part_params(tree, names, before) == {}


def test_a_trainer_fits_the_network_that_it_is_given():
    code = "net = Net(2)\ntrainer = Trainer(max_epochs=3)\ntrainer.fit(net, train, val)"
    tree, names, before = after(code, train=Loader([1]), val=Loader([2]))
    use = cell_use(tree, names)
    (fit,) = use.fits
    assert (fit.name, fit.model, fit.trainer) == ("net", names["net"], names["trainer"])
    assert [(data.name, data.context) for data in use.data] == [("train", "training"), ("val", "validation")]
    assert part_params(tree, names, before, [fit.model, fit.trainer]) == {"net.hidden": 2, "trainer.max_epochs": 3}
    assert last_metrics(fit.trainer) == {"loss": 0.5, "val_loss": 0.25}
    assert foreseen_models(tree, CLASSES) == ["Net"]


def test_weights_are_counted_below_the_layers():
    assert network_structure(Net()) == "Net(\n  (layer): Linear\n)\n6 weights, 6 of them trainable"


class Sequential:
    """After keras' model."""

    def get_config(self): ...
    @classmethod
    def from_config(cls, config): ...
    def get_weights(self): ...
    def set_weights(self, weights): ...

    layers = ()

    def compile(self, **settings): ...
    def predict(self, X): ...
    def fit(self, X, y, epochs=1):
        self.history = SimpleNamespace(history={"loss": [2.0, 1.0], "val_loss": [3.0, 2.5]})
        return self.history


class SGD:
    def __init__(self, learning_rate=0.01): ...
    def get_config(self): ...
    @classmethod
    def from_config(cls, config): ...


def test_the_settings_of_a_compiled_network_are_recorded():
    code = 'model.compile(optimizer=SGD(learning_rate=0.5), loss="mse", metrics=["mae"])\nother = SGD(0.25)'
    tree = ast.parse(code)
    names = {"model": Sequential(), "SGD": SGD, "other": SGD()}
    assert part_params(tree, names, Before()) == {
        "optimizer": "SGD",
        "optimizer.learning_rate": 0.5,
        "loss": "mse",
        "metrics": ["mae"],
        "other": "SGD",
        "other.learning_rate": 0.25,
    }


def curves(code, **names):
    tree = ast.parse(code)
    exec(code, names)
    found = Measurements()
    for fit in cell_use(tree, names).fits:
        found.learning_curves(learning_curves(fit, names), fit.name)
    return found.histories


def test_the_history_of_a_fit_is_found_where_it_was_not_assigned():
    X = np.zeros((2, 1))
    expected = {"loss": (0, [2.0, 1.0]), "val_loss": (0, [3.0, 2.5])}
    assert curves("history = a.fit(X, X)", a=Sequential(), X=X) == expected
    assert curves("a.fit(X, X)", a=Sequential(), X=X) == expected


def test_two_fits_of_a_cell_keep_a_history_each():
    found = curves("h = a.fit(X, X)\ng = b.fit(X, X)", a=Sequential(), b=Sequential(), X=np.zeros((2, 1)))
    assert sorted(found) == ["b/loss", "b/val_loss", "loss", "val_loss"]


def test_losses_on_data_that_boosting_was_watched_on_are_histories():
    class Booster(Sequential):
        def fit(self, X, y):
            self.evals_result_ = {"validation_0": {"rmse": [2.0, 1.0]}}
            return self

    found = curves("m.fit(X, X)", m=Booster(), X=np.zeros((2, 1)))
    assert found == {"validation_0/rmse": (0, [2.0, 1.0])}


def test_a_history_does_not_hide_a_number_of_the_same_name():
    found = Measurements()
    found.put("loss", 0.5, "metric")
    found.learning_curves({"loss": [2.0, 1.0]}, "model")
    assert found.values == {"loss": 0.5} and found.histories == {"model/loss": (0, [2.0, 1.0])}


def test_data_and_formula_of_a_statistical_model_are_observed():
    class Results:
        def fit(self): ...
        def predict(self, X): ...

    X = np.ones((3, 2))
    tree = ast.parse('results = ols("y ~ a + b", data=df).fit()\nothers = OLS(t, df).fit()')
    use = cell_use(tree, {"results": Results(), "others": Results(), "df": X, "t": X[:, 0]})
    assert [(fit.name, fit.settings) for fit in use.fits] == [("results", {"formula": "y ~ a + b"}), ("others", {})]
    assert [(data.name, data.context) for data in use.data] == [("df", "training"), ("t", "training")]
