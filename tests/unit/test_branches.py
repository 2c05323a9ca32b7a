"""Branches of the user's code report which side was taken, and the code is itself again afterwards."""

from __future__ import annotations

import torch
from torch import nn

from tests.unit import branch_models
from workbench.worker.artifact.branch_copies import PROBE
from workbench.worker.artifact.branches import Branches


def branches_of(model: nn.Module, x: torch.Tensor) -> Branches:
    return Branches(lambda: model(x))


def test_each_branch_says_where_it_is_which_side_was_taken_and_how_far_the_other_is() -> None:
    model, x = branch_models.Rare().eval(), torch.zeros(4, 5)
    found = branches_of(model, x)
    with found.watching():
        model(x)
    training, total = found.all
    assert training.source == "if self.training:"
    assert not training.depends
    assert total.source == "if x.sum() > self.limit:"
    assert total.place.startswith("branch_models.py:")
    assert total.depends
    assert (total.truth, total.margin) == (False, -30.0)
    with found.watching():
        found.begin()
        model(torch.ones(8, 5))
    assert (total.truth, total.margin) == (True, 10.0)
    assert (total.taken, total.ever) == ({True}, {True, False})
    assert (total.sides, found.fresh(answered=True)) == (set(), [training, total])  # nobody compared anything


def test_helpers_names_and_super_are_followed() -> None:
    for model, margin in ((branch_models.Peak(), -99.0), (branch_models.Deep(), None)):
        found = branches_of(model.eval(), torch.ones(2, 5))
        with found.watching():
            model(torch.ones(2, 5))
        last = found.all[-1]
        assert last.truth is False
        assert last.margin is not None
        assert margin is None or last.margin == margin


def test_all_is_as_far_as_its_furthest_element() -> None:
    model = branch_models.Reads()
    found = branches_of(model, torch.tensor([[999, 0]]))
    with found.watching():
        model(torch.tensor([[999, 0]]))
    assert found.all[0].margin == -999.0


def test_the_code_and_its_module_are_themselves_again_and_the_answer_is_the_same() -> None:
    model, x = branch_models.Rare().eval(), torch.randn(4, 5)
    code, before = type(model).forward.__code__, model(x)
    found = branches_of(model, x)
    with found.watching():
        assert type(model).forward.__code__ is not code
        assert torch.equal(model(x), before)
    assert type(model).forward.__code__ is code
    assert not hasattr(branch_models, PROBE)


def test_private_names_inner_functions_and_generators_report_too() -> None:
    ones = torch.ones(8, 5)
    for model, count in ((branch_models.Private(), 2), (branch_models.Generated(), 1)):
        found = branches_of(model.eval(), ones)
        before = model(ones)
        with found.watching():
            assert torch.equal(model(ones), before)
        assert [one.truth for one in found.all].count(True) == 1
        assert (len(found.all), found.unwatched) == (count, [])


def test_what_cannot_report_is_told() -> None:
    found = branches_of(branch_models.Unwatched().eval(), torch.ones(8, 5))
    assert found.all == []
    (name,) = found.unwatched
    assert name.startswith("<lambda> (branch_models.py:")
