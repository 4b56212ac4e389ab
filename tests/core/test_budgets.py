import pytest

from mlops_workbench.core.budgets import Budget, BudgetState, parse_budget
from mlops_workbench.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("words", "seconds", "money"),
    [
        (["2h"], 7200, None),
        (["90s"], 90, None),
        (["1h30m"], 5400, None),
        (["1h30min"], 5400, None),
        (["2D"], 172_800, None),
        (["0.5h"], 1800, None),
        (["5EUR"], None, 5),
        (["5eur"], None, 5),
        (["2.50€"], None, 2.5),
        (["€2,50"], None, 2.5),
        (["2h", "5EUR"], 7200, 5),
        (["5EUR", "45min"], 2700, 5),
    ],
)
def test_a_budget_is_a_time_an_amount_of_money_or_both(words, seconds, money):
    budget = parse_budget(words, currency="EUR", stop=True)
    assert (budget.seconds, budget.money, budget.stop) == (seconds, money, True)
    assert budget.currency == ("EUR" if money else "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a time"),
        (["lots"], "'lots' is neither"),
        (["2x"], "'2x' is neither"),
        (["2"], "'2' is neither"),
        (["-2h"], "'-2h' is neither"),
        (["2h", "3h"], "'3h' is a second limit"),
        (["2EUR", "3EUR"], "'3EUR' is a second limit"),
        (["0h"], "larger than zero"),
        (["5USD"], "not in EUR"),
        (["$5"], "not in EUR"),
    ],
)
def test_what_is_no_budget_is_told_with_an_example(words, said):
    with pytest.raises(InvalidInput, match=said.replace("(", r"\(")) as error:
        parse_budget(words, currency="EUR")
    assert error.value.hint


def test_the_limit_that_is_nearest_counts():
    budget = Budget(3600, 5.0, "EUR")
    assert BudgetState(budget, 900, 4.0).used == 0.8
    assert BudgetState(budget, 3600, None).used == 1.0
    assert BudgetState(budget, 900, 2.1).text() == "15 min 0 s of 1 h 0 min, 2.1 of 5 EUR"
