"""What a cell does with names, by its syntax tree."""

from __future__ import annotations

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from mlops_workbench.notebooks.names.cell_names import cell_names
from mlops_workbench.notebooks.names.nouns import CellNames

_transform = TransformerManager().transform_cell


def parse(source: str) -> ast.Module:
    return ast.parse(_transform(source))


def names(source: str, **known: str) -> CellNames:
    return cell_names(parse(source), parse, lambda name: known.get(name, ""))


#: source, names that may come from before the cell, names written, names killed.
CASES = [
    ("x = 1\ny = x", "", "x y", "x y"),
    ("y = x\nx = 1", "x", "x y", "y"),
    ("x += 1", "x", "x", ""),
    ("x = 1\nx += 1", "", "x", "x"),
    ("if c:\n    x = 1", "c", "x", ""),
    ("if c:\n    x = 1\nelse:\n    x = 2\nx", "c", "x", "x"),
    ("if c:\n    x = 1\nx", "c x", "x", ""),
    ("for i in xs:\n    t = i", "xs", "i t", ""),
    ("for i in xs:\n    pass\nelse:\n    e = i", "i xs", "e i", ""),
    ("while go():\n    n = 1", "go", "n", ""),
    ("try:\n    x = f()\nexcept E as e:\n    x = e", "E f", "x", "x"),
    ("try:\n    x = f()\nexcept E:\n    pass\nx", "E f x", "x", ""),
    ("try:\n    pass\nfinally:\n    x = 1", "", "x", "x"),
    ("try:\n    x = 1\nexcept* E:\n    x = 2", "E", "x", "x"),
    ("with open('f') as fh:\n    text = fh.read()", "open", "fh text", "fh text"),
    ("with suppress(E):\n    x = f()\nx", "E f suppress x", "x", ""),
    ("def f(a, b=d, *c) -> r:\n    return a + g", "d r", "f", "f"),
    ("from __future__ import annotations\ndef f(a: t) -> r: ...\nx: int = 1", "", "annotations f x", "annotations f x"),
    ("def f():\n    global n\n    n = 1", "", "f", "f"),
    ("f = lambda a: a + g", "", "f", "f"),
    ("ys = map(lambda a: a + g, xs)", "g map xs", "ys", "ys"),
    ("ys = [x * k for x in xs if x]", "k xs", "ys", "ys"),
    ("ys = {x: y for x, ys in zs for y in ys}", "zs", "ys", "ys"),
    ("any((w := i) for i in xs)", "any xs", "w", ""),
    ("if (n := f()):\n    pass\nn", "f", "n", "n"),
    ("c and (n := 1)\nn", "c n", "n", ""),
    ("class A(B, metaclass=M):\n    q = k\n    r = q\n    def m(self):\n        return z", "B M k", "A", "A"),
    ("@deco\ndef f():\n    return late", "deco late", "f", "f"),
    ("@property\ndef f():\n    return late", "property", "f", "f"),
    ("match a:\n    case [b, *c]:\n        d = b\n    case X(y=e) if e > k:\n        pass", "X a k", "b c d e", ""),
    ("import a.b, c as d\nfrom e import f as g, h", "", "a d g h", "a d g h"),
    ("a, (b, *c) = x, y = z", "z", "a b c x y", "a b c x y"),
    ("a[i] = v", "a i v", "a", ""),
    ("a.b.c = v", "a v", "a", ""),
    ("a = {}\na['k'] = v", "v", "a", "a"),
    ("del a[0]", "a", "a", ""),
    ("x: int", "int", "", ""),
    ("x: int = 1", "int", "x", "x"),
    ("print(f'{a!r:{w}}')", "a print w", "", ""),
    ("await f(x)", "f x", "", ""),
    ("async for i in xs:\n    y = i", "xs", "i y", ""),
    ("%time a = b", "b", "a", "a"),
    ("%%time\na = b", "b", "a", "a"),
    ("%%capture out\na = b", "b", "a", "a"),
    ("%timeit -n 10 -r2 q = f(z)", "f z", "", ""),
    ("files = !ls {folder} $HOME", "HOME folder", "files", "files"),
    ("shuffle(xs)", "shuffle xs", "xs", ""),
    ("np.add(a, b, out=c)", "a b c np", "c", ""),
    ("Out[3] + _5", "Out _3 _5", "", ""),
    ("x = 1\ndel x", "", "", ""),
]


@pytest.mark.parametrize(("source", "exposed", "writes", "kills"), CASES, ids=[case[0] for case in CASES])
def test_what_a_cell_takes_binds_and_makes_anew(source, exposed, writes, kills):
    found = names(source)
    assert (sorted(found.exposed), sorted(found.writes), sorted(found.kills)) == (
        exposed.split(),
        writes.split(),
        kills.split(),
    )


def test_deleted_names_are_reported_unless_they_are_bound_again():
    assert names("del x, y[0]\nx = 1\ndel z").deletes == {"z"}


EFFECTS = [
    ("!make", ["@shell"]),
    ("!pip install polars", ["@shell", "@packages"]),
    ("%pip install polars", ["@packages"]),
    ("%%bash\npip install polars", ["@shell", "@packages"]),
    ("%cd sub", ["@cwd"]),
    ("import os\nos.chdir('sub')", ["@cwd"]),
    ("%env A=1", ["@environ"]),
    ("%env", []),
    ("os.environ['A'] = '1'", ["@environ"]),
    ("import sys\nsys.path.append('..')", ["@path"]),
    ("np.random.seed(0)", ["@random"]),
    ("%run other.py -x", ["@file:other.py"]),
    ("%%writefile a.py\nx = 1", ["@file:a.py", "@write:a.py"]),
    ("df = pd.read_csv('ein ordner/ä.csv')", ["@file:ein ordner/ä.csv"]),
    ("df.to_csv('out.csv')", ["@file:out.csv", "@write:out.csv"]),
    ("open('a')\nopen('b', 'w')\nopen('c', mode='a')", ["@file:a", "@file:b", "@write:b", "@file:c", "@write:c"]),
    ("p = 'x.csv'\npd.read_csv(p)", ["@file:x.csv"]),
    ("pd.read_csv(given)", ["@file:known.csv"]),
    ("pd.read_csv(DATA / 'x.csv')", ["@file:data/x.csv"]),
    ("Path('t.txt').write_text('a')", ["@file:t.txt", "@write:t.txt"]),
    ("joblib.dump(model, 'm.joblib')", ["@file:m.joblib", "@write:m.joblib"]),
    ("sklearn.set_config(transform_output='pandas')", ["@settings"]),
    ("from sklearn.experimental import enable_iterative_imputer", ["@settings"]),
    ("pd.set_option('mode.copy_on_write', True)", ["@settings"]),
    ("pd.set_option('display.max_rows', 9)", []),
    ("%mlops experiment 'a b'", ["@mlops:experiment"]),
    ("%mlops autotrack on", ["@mlops:autotrack"]),
    ("%mlops experiment", []),
    ("%mlops show one", []),
    ("x = 1", []),
]


@pytest.mark.parametrize(("source", "effects"), EFFECTS, ids=[case[0] for case in EFFECTS])
def test_what_a_cell_touches_outside(source, effects):
    assert names(source, given="known.csv", DATA="data").effects == effects


REPEATS = [
    ("x += 1", {"x"}),
    ("x = 0\nx += 1", set()),
    ("df = df.dropna()", {"df"}),
    ("df['r'] = df.a / df.b", set()),
    ("df['r'] = df['r'] * 2", {"df"}),
    ("df.r = df['r'] * 2", {"df"}),
    ("xs.append(1)", {"xs"}),
    ("xs = []\nxs.append(1)", set()),
    ("a, b = b, a", {"a", "b"}),
    ("x = [x for x in ys]", set()),
    ("total = f(total)", {"total"}),
]


@pytest.mark.parametrize(("source", "repeats"), REPEATS, ids=[case[0] for case in REPEATS])
def test_what_builds_on_its_own_result_when_it_runs_again(source, repeats):
    assert names(source).repeats == repeats


def test_items_assigned_on_every_path_are_distinguished_from_other_changes():
    assert names("df['a'] = 1\ndf.b = 2").slots == {"df": {"a", "b"}}
    assert names("df['a'] = 1\ndf[mask] = 2").slots == {"df": set()}
    assert names("if c:\n    df['a'] = 1").slots == {"df": set()}


def test_functions_tell_what_they_do_to_their_arguments():
    found = names("def train(model, data):\n    model.fit(data)\n    data['p'] = 1\ntrain(m, d)")
    function = found.functions["train"]
    assert function.parameters == ("model", "data") and function.names.updates == {"data"}
    assert [(call.name, call.method) for call in function.names.methods] == [("model", "fit")]
    assert dict(found.calls[-1].arguments) == {0: "m", 1: "d"}


def test_what_a_called_function_uses_is_used_unless_it_was_bound_before_the_call():
    found = names("k = 1\nf()\nm = 2")
    found.use("f", {"k", "m", "n"})
    assert found.kills == {"k"} and {"m", "n"} <= found.exposed


def test_a_cell_that_is_no_python_has_no_names():
    assert cell_names(None) == CellNames()
