"""Runs in a loop: each block of ``with track(...)`` is observed by itself, and the best model is kept."""

from __future__ import annotations

import pytest
from kernels import Kernel

from mlops_workbench.core.records import Dataset, Metrics, Model, Params, RunStart, Tags

pytestmark = pytest.mark.process

SETUP = """
import numpy as np, pandas as pd
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.tree import DecisionTreeRegressor
from mlops_workbench import log, track
from mlops_workbench.capture import current_session, save_model_of_run
chance = np.random.default_rng(0)
X = pd.DataFrame(chance.normal(size=(200, 3)), columns=["a", "b", "c"])
y = X["a"] * 2 + chance.normal(size=200) / 10
X_train, X_test, y_train, y_test = X[:150], X[150:], y[:150], y[150:]
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    root = tmp_path_factory.mktemp("loops")
    (root / "workbench.toml").write_text('[tracking.metrics]\nshop = "max sales"\n')
    started = Kernel(root)
    started.run(SETUP)
    yield started
    started.close()


def run(kernel, source, **options):
    """Run a cell, and another one, before which everything that waited is done."""
    outputs = kernel.run(source, **options)
    kernel.run("pass")
    return outputs


def values(kernel, kind, run):
    return kernel.records.values(kind, run)


def uids(kernel, name):
    return [start.run_uid for start in kernel.records.of(RunStart) if start.name == name]


def expected(kernel, expression):
    """Value of an expression in the kernel."""
    (shown,) = kernel.run(expression)
    return eval(shown["data"]["text/plain"], {"nan": float("nan")})


LOOP = """
for depth in (1, 3, 5):
    with track("{name}", params={{"round": depth}}):
        model = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X_train, y_train)
        mae = mean_absolute_error(y_test, model.predict(X_test))
        made.append(mae)
"""


@pytest.mark.parametrize(
    "cell", ["%%track tracked\n{loop}", "{loop}", "%%time\n{loop}", "%%track timed\n%%time\n{loop}"]
)
def test_each_block_has_its_own_metrics_settings_and_data(kernel, cell):
    name = f"own {len(cell)}"
    kernel.run("made = []")
    run(kernel, cell.format(loop=LOOP.format(name=name).strip()))
    children = uids(kernel, name)
    assert len(children) == 3
    maes = expected(kernel, "made")
    assert [values(kernel, Metrics, child) for child in children] == [{"mae": mae} for mae in maes]
    for child, depth in zip(children, (1, 3, 5), strict=True):
        params = values(kernel, Params, child)
        assert (params["round"], params["max_depth"], params["estimator"]) == (depth, depth, "DecisionTreeRegressor")
        data = {(found.name, found.context): found.digest for found in kernel.records.of(Dataset, child)}
        assert set(data) == {("X_train", "training"), ("y_train", "training"), ("X_test", "test")} and all(
            data.values()
        )
    for parent in ("tracked", "timed"):
        if parent in cell.split():
            assert values(kernel, Metrics, parent) == {"made": maes[-1]} and not kernel.records.of(Dataset, parent)
            assert "max_depth" not in values(kernel, Params, parent)
            starts = [start for start in kernel.records.of(RunStart) if start.name == name]
            assert {start.parent_uid for start in starts} == {kernel.records.start(parent).run_uid}


def test_what_blocks_collect_for_the_cell_is_the_cells_and_its_own_values_stay_its_own(kernel):
    run(
        kernel,
        """%%track collected
alpha_of, rows, errors = {}, [], []
best = float("inf")
for alpha in (0.1, 1.0, 10.0):
    with track(f"alpha {alpha}"):
        model = Ridge(alpha=alpha).fit(X_train, y_train)
        errors.append(mean_absolute_error(y_test, model.predict(X_test)))
        r2 = r2_score(y_test, model.predict(X_test))
        alpha_of[alpha] = r2
        rows.append({"alpha": alpha, "score": r2_score(y_train, model.predict(X_train)), "r2": r2})
    best = min(best, errors[-1])
error_of_mean = mean_absolute_error(y_test, y_test * 0 + y_train.mean())""",
    )
    errors, scores = expected(kernel, "errors"), expected(kernel, "[row['score'] for row in rows]")
    for i, alpha in enumerate((0.1, 1.0, 10.0)):
        found = values(kernel, Metrics, f"alpha {alpha}")
        assert found == {"errors": errors[i], "r2": expected(kernel, f"alpha_of[{alpha}]"), "score": scores[i]}
    found = values(kernel, Metrics, "collected")
    assert found["best"] == min(errors) and found["error_of_mean"] == expected(kernel, "error_of_mean")
    assert "r2" not in found and "score" not in found
    history = [
        (one.step, one.values["errors"]) for one in kernel.records.of(Metrics, "collected") if "errors" in one.values
    ]
    assert history == list(enumerate(errors))


def test_blocks_in_functions_comprehensions_and_inside_others(kernel):
    run(
        kernel,
        """
def fitted(kind, **settings):
    with track(f"fitted {kind.__name__}") as outer:
        estimator = kind(**settings).fit(X_train, y_train)
        with track("inner") as inner:
            seed = 7
            inner_mae = mean_absolute_error(y_train, estimator.predict(X_train))
        mae = mean_absolute_error(y_test, estimator.predict(X_test))
    return mae

seen = [fitted(kind, alpha=0.5) for kind in (Ridge, Lasso)]
""",
    )
    maes = expected(kernel, "seen")
    assert values(kernel, Metrics, "fitted Ridge") == {"mae": maes[0]}
    assert values(kernel, Metrics, "fitted Lasso") == {"mae": maes[1]}
    assert values(kernel, Params, "fitted Lasso")["estimator"] == "Lasso"
    first, second = uids(kernel, "inner")
    assert values(kernel, Metrics, first).keys() == {"inner_mae"} and values(kernel, Params, first) == {"seed": 7}
    assert values(kernel, Metrics, first) != values(kernel, Metrics, second)


def test_logged_values_win_and_an_error_ends_only_its_block(kernel):
    run(
        kernel,
        """
for alpha in (0.0, 1.0):
    try:
        with track(f"maybe {alpha}", params={"alpha": "given"}):
            steps = 3
            model = Ridge(alpha=alpha).fit(X_train, y_train)
            mae = mean_absolute_error(y_test, model.predict(X_test))
            log(mae=0.25)
            rest = 1 / alpha
            r2 = r2_score(y_test, model.predict(X_test))
    except ZeroDivisionError:
        pass
""",
    )
    for name, status in (("maybe 0.0", "FAILED"), ("maybe 1.0", "FINISHED")):
        assert kernel.records.end(name).status == status
        assert values(kernel, Metrics, name)["mae"] == 0.25
        params = values(kernel, Params, name)
        assert params["alpha"] == "given" and params["steps"] == 3
    assert "r2" in values(kernel, Metrics, "maybe 1.0") and "r2" not in values(kernel, Metrics, "maybe 0.0")


def test_each_fold_has_the_data_that_its_block_used(kernel):
    run(
        kernel,
        """
for fold, (train, test) in enumerate(KFold(3).split(X)):
    part = X.iloc[train]
    with track(f"fold {fold}"):
        model = Ridge().fit(part, y.iloc[train])
        score = model.score(X.iloc[test], y.iloc[test])
part = None
""",
    )
    digests = {tuple(d.digest for d in kernel.records.of(Dataset, f"fold {i}") if d.name == "part") for i in range(3)}
    assert len(digests) == 3 and all(len(one) == 1 and one[0] for one in digests)
    assert not any("mlops.data.unknown" in values(kernel, Tags, f"fold {i}") for i in range(3))


def test_calls_of_a_tracked_function_have_what_it_returns_by_name(kernel):
    run(
        kernel,
        """
model, mae = "of the notebook", 77.0

@track
def trial(depth, data):
    seed = 5
    model = DecisionTreeRegressor(max_depth=depth, random_state=seed).fit(data, y)
    mae = mean_absolute_error(y, model.predict(data))
    lost = r2_score(y, model.predict(data))
    return model, mae

@track("only")
async def only(alpha):
    if alpha > 1e6:
        return None
    mae = mean_absolute_error(y, Ridge(alpha=alpha).fit(X, y).predict(X))
    return {"mae": mae, "alpha": alpha}

@track
def last(alpha):
    mae = mean_absolute_error(y, Ridge(alpha=alpha).fit(X, y).predict(X))
    return mae

kept = [trial(depth, X)[1] for depth in (1, 4, 2)]
both = await only(2.0), last(3.0)
""",
    )
    children, maes = uids(kernel, "trial"), expected(kernel, "kept")
    for child, depth, mae in zip(children, (1, 4, 2), maes, strict=True):
        assert values(kernel, Metrics, child) == {"mae": mae}
        params = values(kernel, Params, child)
        assert (params["depth"], params["max_depth"], params["seed"]) == (depth, depth, 5)
        assert {data.name for data in kernel.records.of(Dataset, child)} == {"data", "y"}
    kernel.run(f"assert save_model_of_run({children[1]!r}) and not save_model_of_run({children[0]!r})")
    assert kernel.records.of(Model, children[1])
    assert values(kernel, Metrics, "only") == {}, "it is not known which of two returns was reached"
    assert values(kernel, Metrics, "last") == {"mae": expected(kernel, "both[1]")}


WINNER = """
import gc, weakref
made, best_at = [], None
for depth in (1, 4, 2):
    with track("{name}", experiment="{experiment}"):
        model = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X_train, y_train)
        {metrics}
        made.append(weakref.ref(model))
        gc.collect()
        assert sum(one() is not None for one in made) <= 2, "the best one, and that of the variable"
del model
gc.collect()
living = [one() is not None for one in made]
"""


@pytest.mark.parametrize(
    ("experiment", "metrics", "winner"),
    [
        ("default", "mae = mean_absolute_error(y_test, model.predict(X_test))", 1),
        (
            "default",
            "r2 = r2_score(y_test, model.predict(X_test))\n        mae = float(depth)\n        log(mae=mae)",
            0,
        ),
        # The setting of this experiment names the metric and says what is better.
        ("shop", "mae = mean_absolute_error(y_test, model.predict(X_test))\n        log(sales=-depth)", 0),
        ("shop", "mae = mean_absolute_error(y_test, model.predict(X_test))", 1),
        ("default", "log(mae=float('nan') if depth == 1 else depth)", 2),
        ("default", "leaves = 1", 2),
    ],
)
def test_the_best_model_of_a_loop_is_kept_and_can_be_saved(kernel, experiment, metrics, winner):
    name = f"loop of {experiment} with {len(metrics)}"
    run(kernel, WINNER.format(name=name, experiment=experiment, metrics=metrics))
    assert expected(kernel, "living") == [i == winner for i in range(3)]
    children = uids(kernel, name)
    shown = kernel.run(
        f"print([save_model_of_run(uid[-8:]) for uid in {children!r}])",
    )
    printed = "".join(output["text"] for output in shown if output["output_type"] == "stream")
    assert str([i == winner for i in range(3)]) in printed
    assert printed.count(f"with the id {children[winner][-8:]}") == 2, "it says which one was kept"
    (model,) = kernel.records.of(Model, children[winner])
    assert model.inputs and "mlops/reference.parquet" in model.files


def test_of_all_loops_at_most_two_models_are_held(kernel):
    for number in range(4):
        run(
            kernel,
            f"refs = globals().get('refs', [])\nfor depth in (1, 2):\n    with track('held {number}'):\n"
            "        model = DecisionTreeRegressor(max_depth=depth).fit(X_train, y_train)\n"
            "        mae = mean_absolute_error(y_test, model.predict(X_test))\n"
            "        refs.append(weakref.ref(model))\ndel model",
        )
    assert expected(kernel, "gc.collect() * 0 + sum(one() is not None for one in refs)") == 2


def test_the_best_candidate_of_a_search_has_the_model_of_the_search(kernel):
    run(
        kernel,
        "%%track searched\nsearch = GridSearchCV(Ridge(), {'alpha': [0.1, 1.0, 1000.0]}, cv=3).fit(X_train, y_train)\n"
        "best_number = int(search.best_index_) + 1\ncoefficients = search.best_estimator_.coef_",
    )
    run(kernel, "del search")
    number = expected(kernel, "best_number")
    kernel.run(f"assert save_model_of_run('searched/{number}') and save_model_of_run('searched')")
    (model,) = kernel.records.of(Model, f"searched/{number}")
    assert model.estimator.endswith(".Ridge") and model.inputs
    (model,) = kernel.records.of(Model, "searched")
    assert model.estimator.endswith(".GridSearchCV")
