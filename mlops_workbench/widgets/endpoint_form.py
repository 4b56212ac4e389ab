"""A form to try an endpoint: the answer follows the values."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from mlops_workbench.client.what_if import RowAnswer, RowAsker
from mlops_workbench.commands.view import MARK, View
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.shown.colours import BAD
from mlops_workbench.core.shown.formats import duration
from mlops_workbench.widgets.form_fields import FormField, field_of
from mlops_workbench.widgets.live_output import LiveOutput

#: Inputs with a field; the others keep the values of the example.
MOST_FIELDS = 40
_MOST_CLASSES = 10


class EndpointForm:
    """A field for each input of a model, filled with its example, and the endpoint's answer below.

    The answer is an output of its own, of static HTML: a saved notebook shows the last values and their answer.

    Parameters
    ----------
    asker : RowAsker
        Asks the endpoint.
    example : dict
        Values by input; missing ones may be left out.
    publisher : DisplayPublisher
        Publishes outputs of the cell.

    Attributes
    ----------
    row : dict
        The values.
    answer : RowAnswer or None
        The last answer; None if the endpoint refused the row.
    controls : dict of str to Widget
        The control of each field.
    """

    def __init__(self, asker: RowAsker, example: dict[str, Any], publisher: Any) -> None:
        specs = asker.schema.columns
        self._asker = asker
        self._fields = [field_of(spec, example.get(spec.name)) for spec in specs]
        self.row: dict[str, Any] = {one.name: one.value for one in self._fields}
        self.answer: RowAnswer | None = None
        self.controls: dict[str, Any] = {}
        self._output = LiveOutput(publisher, f"mlops-form-{new_id()}", {MARK: {"view": "endpoint"}}, widget=False)

    def _ipython_display_(self) -> None:
        from IPython.display import display
        from ipywidgets import VBox

        boxes = [self._box(one) for one in self._fields[:MOST_FIELDS]]
        display(VBox(boxes), metadata={MARK: {"view": "form"}})  # type: ignore[no-untyped-call]
        self.update()

    def set(self, name: str, value: Any) -> None:
        """Change a value; None for a missing one."""
        self.row[name] = value
        self.update()

    def update(self) -> None:
        """Ask the endpoint, and show its answer."""
        problem = ""
        try:
            self.answer = self._asker.ask({name: _wire(value) for name, value in self.row.items()})
        except WorkbenchError as error:
            self.answer, problem = None, error.message
        view = self._view(problem)
        bundle = dict(view._repr_mimebundle_())
        if problem:
            bundle["text/html"] += f'<div style="color:{BAD}">{html.escape(problem)}</div>'
        self._output.replace(bundle)

    def _view(self, problem: str) -> View:
        endpoint, answer = self._asker.endpoint, self.answer
        facts: list[tuple[str, Any]] = []
        sections = []
        if answer is not None:
            for name, values in answer.outputs.items():
                if name == "predict_proba" and all(isinstance(value, int | float) for value in values):
                    sections.append(self._probabilities(values))
                else:
                    shown = values[0] if len(values) == 1 else ", ".join(map(str, values[:_MOST_CLASSES]))
                    facts.append(("prediction" if name == "predict" else name, shown))
            facts.append(("version", answer.version))
            facts.append(("latency", duration(answer.seconds)))
        elif problem:
            facts.append(("refused", problem))
        facts.append(("runtime", endpoint.runtime or None))
        inputs = [(name, "missing" if value is None else str(value)) for name, value in self.row.items()]
        more = len(inputs) - MOST_FIELDS
        sections.append(View("inputs", ("input", "value"), inputs[:MOST_FIELDS]))
        notes = [f"{more} further inputs have the values of the example"] if more > 0 else []
        return View(f"endpoint {endpoint.name}", facts=facts, sections=sections, notes=notes)

    def _probabilities(self, values: list[Any]) -> View:
        known = self._asker.schema.classes
        classes = known if len(known) == len(values) else range(len(values))
        rows = sorted(zip(map(str, classes), values, strict=True), key=lambda one: -one[1])[:_MOST_CLASSES]
        return View("probabilities", ("class", "probability"), rows)

    def _box(self, one: FormField) -> Any:
        """The control of a field, with a switch for a missing value if there may be one."""
        from ipywidgets import Checkbox, HBox, Layout

        control, parts = _control(one)
        self.controls[one.name] = control
        if not one.missing:
            control.observe(self._changed(one, lambda: False), names="value")
            return HBox(parts)
        absent = Checkbox(value=one.value is None, description="missing", indent=False, layout=Layout(width="auto"))
        changed = self._changed(one, lambda: bool(absent.value))

        def given(change: Any) -> None:
            # A value that is set is not missing any more.
            if absent.value:
                absent.value = False
            else:
                changed(change)

        control.observe(given, names="value")
        absent.observe(changed, names="value")
        self.controls[f"{one.name} missing"] = absent
        return HBox([*parts, absent])

    def _changed(self, one: FormField, is_absent: Callable[[], bool]) -> Callable[[Any], None]:
        def changed(_: Any) -> None:
            self.set(one.name, None if is_absent() else self.controls[one.name].value)

        return changed


def _control(one: FormField) -> tuple[Any, list[Any]]:
    """The control that has the value of a field, and what is shown."""
    import ipywidgets as widgets

    label: dict[str, Any] = {"description": one.name, "style": {"description_width": "12em"}}
    wide = widgets.Layout(width="30em")
    match one.kind:
        case "boolean":
            made = widgets.Dropdown(options=[True, False], value=bool(one.value), layout=wide, **label)
        case "choice" if one.is_open:
            made = widgets.Combobox(options=[*map(str, one.choices)], value=str(one.value or ""), layout=wide, **label)
        case "choice":
            value = one.value if one.value in one.choices else None
            options = [(str(choice), choice) for choice in one.choices]
            made = widgets.Dropdown(options=options, value=value, layout=wide, **label)
        case "time":
            made = widgets.NaiveDatetimePicker(value=one.value, layout=wide, **label)
        case "text":
            made = widgets.Text(value=one.value or "", continuous_update=False, layout=wide, **label)
        case _:
            return _number(one, label)
    return made, [made]


def _number(one: FormField, label: dict[str, Any]) -> tuple[Any, list[Any]]:
    """A field for any number, and a slider over the range of the training data that moves it."""
    import ipywidgets as widgets

    is_whole = one.kind == "integer"
    first = one.value if one.value is not None else one.low if one.low is not None else 0
    made = (widgets.IntText if is_whole else widgets.FloatText)(
        value=first, layout=widgets.Layout(width="24em"), **label
    )
    if one.low is None or one.high is None:
        return made, [made]
    slider = (widgets.IntSlider if is_whole else widgets.FloatSlider)(
        min=one.low, max=one.high, step=one.step, value=min(max(first, one.low), one.high), readout=False
    )

    step = one.step or 1
    # One more than the step has, since the range begins anywhere.
    digits = 1 - math.floor(math.log10(step))

    def moved(change: Any) -> None:
        # A browser moves a slider to its next step; the field, which can have any value, keeps its own.
        if abs(change["new"] - min(max(made.value, one.low), one.high)) > step / 2:
            value = change["new"] if is_whole else round(change["new"], digits)
            made.value = min(max(value, one.low), one.high)

    def written(change: Any) -> None:
        slider.value = min(max(change["new"], one.low), one.high)

    slider.observe(moved, names="value")
    made.observe(written, names="value")
    return made, [made, slider]


def _wire(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def try_endpoint(name: str) -> EndpointForm:
    """Show a form to try an endpoint: a field for each input, filled with the example, and the answer to them.

    Parameters
    ----------
    name : str
        Name of a running endpoint.

    Raises
    ------
    NotFound
        There is no such endpoint.
    Unavailable
        It does not answer.
    """
    from IPython.core.getipython import get_ipython

    from mlops_workbench.client.client import Client
    from mlops_workbench.client.examples import endpoint_example
    from mlops_workbench.client.what_if import served_schema
    from mlops_workbench.core.errors import InvalidInput, NotFound
    from mlops_workbench.core.workspace import Workspace

    shell: Any = get_ipython()
    if shell is None:
        raise InvalidInput("a form is shown in a notebook", hint=f"in a shell: mlops predict {name} FILE.csv")
    home = Workspace.find()
    token = home.settings.serving.token
    with Client.connect(home) as client:
        endpoint = client.endpoint(name)
        schema = served_schema(client, endpoint)
    try:
        example = endpoint_example(endpoint, token=token).row
    except NotFound:
        example = {}
    return EndpointForm(RowAsker(endpoint, schema, token), example, shell.display_pub)
