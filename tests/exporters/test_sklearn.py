"""scikit-learn: estimators and pipelines answer in the file as they do in Python, and what cannot go says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from skl2onnx.common import _container
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

import onnx_lab as lab
from onnx_lab.errors import BadInput, BadModel, ExportError, ParityError, UnsupportedOperator
from onnx_lab.exporters.export import plain_code

X, Y = load_iris(return_X_y=True)
TWO = (Y > 0).astype(int)
BOTH = np.stack([Y, TWO], axis=1)


class Mine(TransformerMixin, BaseEstimator):
    """A transformer that no converter knows."""

    def fit(self, x: Any, y: Any = None) -> Mine:
        del y
        self.seen_ = len(x)
        return self

    def transform(self, x: Any) -> Any:
        return x * 2


def said(m: lab.Model) -> str:
    return "\n".join(m.lineage[-1].notes["say"])


@pytest.mark.parametrize(
    ("model", "outputs"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), ["label[batch]", "probabilities[batch, 3]"]),
        pytest.param(
            make_pipeline(PCA(2), RandomForestClassifier(10)).fit(X, Y),
            ["label[batch]", "probabilities[batch, 3]"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            HistGradientBoostingClassifier(max_iter=5).fit(X, TWO),
            ["label[batch]", "probabilities[batch, 2]"],
            marks=pytest.mark.slow,
        ),
        pytest.param(LinearSVC().fit(X, Y), ["label[batch]", "scores[batch, 3]"], marks=pytest.mark.slow),
        pytest.param(LinearSVC().fit(X, TWO), ["label[batch]", "scores[batch, 1]"], marks=pytest.mark.slow),
        pytest.param(Ridge().fit(X, Y), ["variable[batch, 1]"], marks=pytest.mark.slow),
        pytest.param(KMeans(3, n_init=1).fit(X), ["label[batch]", "scores[batch, 3]"], marks=pytest.mark.slow),
        pytest.param(
            IsolationForest(n_estimators=5).fit(X), ["label[batch, 1]", "scores[batch, 1]"], marks=pytest.mark.slow
        ),
        pytest.param(StandardScaler().fit(X), ["variable[batch, 4]"], marks=pytest.mark.slow),
    ],
    ids=lambda v: type(v).__name__ if hasattr(v, "fit") else "",
)
def test_kinds_of_estimators_with_and_without_an_example(model: Any, outputs: list[str]) -> None:
    for example in (X[:40], None):
        m = lab.export(model, example=example)
        assert [f"{o.name}{list(o.shape)}".replace("'", "") for o in m.outputs] == outputs
        assert str(m.inputs[0]) == "X: float32[batch, 4]"
        assert "largest difference to scikit-learn" in said(m)
        assert ("random numbers" in said(m)) == (example is None)
    feeds = {"X": X.astype(np.float32)}
    answer = lab.infer(m, feeds).outputs[m.outputs[0].name]
    want = model.predict(X) if hasattr(model, "predict") else model.transform(X)
    assert np.mean(np.abs(answer.ravel() - want.ravel()) < 1e-4) > 0.98


@pytest.mark.slow
def test_names_of_classes_travel_and_accuracy_reads_the_scores() -> None:
    model = LogisticRegression(max_iter=500).fit(X, np.array(["setosa", "versicolor", "virginica"])[Y])
    m = lab.export(model, example=X[:20])
    assert m.labels == ("setosa", "versicolor", "virginica")
    feeds = {"X": X.astype(np.float32)}
    assert lab.infer(m, feeds).labels == tuple(model.predict(X))
    right = lab.accuracy(m, lab.Task("iris", [feeds], Y, m.labels))
    assert float(right) == pytest.approx(model.score(X, model.classes_[Y]))


@pytest.mark.slow
def test_the_larger_score_of_two_is_the_answer() -> None:
    """The converter writes (d, -d) for an SVC without probabilities: the wrong class first."""
    model = SVC().fit(X[:100], Y[:100])
    m = lab.export(model, example=X[:20])
    out = lab.infer(m, {"X": X[:100].astype(np.float32)}).outputs
    assert (out["scores"].argmax(axis=1) == model.predict(X[:100])).all()
    assert "has no probabilities" in said(m)


def frame(n: int = 120) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(0)
    columns = {"age": rng.integers(18, 80, n), "fare": rng.gamma(2, 30, n), "sex": rng.choice(["m", "f"], n)}
    data = pd.DataFrame({**columns, "deck": pd.Categorical(rng.choice(list("ABC"), n))})
    return data, np.where((data.sex == "f") | (data.fare > 90), "yes", "no")


@pytest.mark.slow
def test_mixed_columns_are_one_input_each() -> None:
    data, answers = frame()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer([("n", numbers, ["age", "fare"]), ("c", OneHotEncoder(), ["sex", "deck"])])
    model = make_pipeline(columns, LogisticRegression()).fit(data, answers)
    m = lab.export(model, example=data.head(30))
    assert [str(i).split("[")[0] for i in m.inputs] == ["age: float32", "fare: float32", "sex: string", "deck: string"]
    got = lab.infer(m, {c: data[[c]].to_numpy().tolist() for c in data})
    assert got.labels == tuple(model.predict(data))
    with pytest.raises(BadInput, match="which types its columns have"):
        lab.export(model)


@pytest.mark.slow
def test_a_frame_of_one_kind_is_one_matrix() -> None:
    data = pd.DataFrame(X, columns=list("abcd"))
    m = lab.export(RandomForestRegressor(5).fit(data, Y), example=data)
    assert [str(i) for i in m.inputs] == ["X: float32[batch, 4]"]


@pytest.mark.slow
def test_text() -> None:
    texts = ["hello world", "the cat sat", "a dog ran to the cat", "world of cats"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, list("abba"))
    m = lab.export(model, example=texts)
    assert str(m.inputs[0]) == "X: string[batch, 1]"
    assert lab.infer(m, {"X": [[t] for t in texts]}).labels == tuple(model.predict(texts))
    assert "C locale" in said(m)


@pytest.mark.slow
def test_zipmap() -> None:
    import onnxruntime as ort

    model = LogisticRegression(max_iter=500).fit(X, Y)
    columns = lab.export(model, example=X[:20], zipmap="columns")
    assert [o.name for o in columns.outputs] == ["output_label", "i0", "i1", "i2"]
    assert "largest difference to scikit-learn" in said(columns)
    on = lab.export(model, example=X[:20], zipmap="on")
    rows = X[:3].astype(np.float32)
    _, dicts = ort.InferenceSession(str(on.path), providers=["CPUExecutionProvider"]).run(None, {"X": rows})
    assert [sorted(d) for d in dicts] == [[0, 1, 2]] * 3
    np.testing.assert_allclose([d[0] for d in dicts], model.predict_proba(rows)[:, 0], atol=1e-5)
    assert "compared before the ZipMap" in said(on)
    with pytest.raises(BadModel, match="list"):
        lab.infer(on, {"X": rows})
    with pytest.raises(BadInput, match="zipmap='on' for Ridge"):
        lab.export(Ridge().fit(X, Y), zipmap="on")
    with pytest.raises(BadInput, match="did you mean 'columns'"):
        lab.export(model, zipmap="column")  # type: ignore[arg-type]


def test_zipmap_is_scikit_learns_alone() -> None:
    import torch

    with pytest.raises(BadInput, match="a classifier of scikit-learn"):
        lab.export(torch.nn.Linear(2, 2), zipmap="on")


@pytest.fixture(scope="module")
def steps() -> tuple[Any, Any]:
    """A forest of many thresholds behind a scaler, and data around a large constant: float32 is just fine enough."""
    rng = np.random.default_rng(0)
    data = 300 + rng.normal(size=(1500, 3))
    answers = (np.sin(5 * data[:, 0]) + np.cos(5 * data[:, 1]) > 0).astype(int)
    return make_pipeline(StandardScaler(), RandomForestClassifier(60, random_state=0)).fit(data, answers), data


@pytest.mark.slow
def test_rows_at_a_threshold_are_counted_and_not_called_wrong(steps: tuple[Any, Any]) -> None:
    model, data = steps
    m = lab.export(model, example=data[:300])
    assert "rows flip: a feature lies so near to a threshold" in said(m)


@pytest.mark.slow
def test_more_digits_than_float32_has_are_an_error() -> None:
    rng = np.random.default_rng(0)
    data = 1e6 + rng.normal(size=(500, 3))
    answers = (np.sin(3 * data[:, 0]) + np.cos(3 * data[:, 1]) > 0).astype(int)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(40, random_state=0)).fit(data, answers)
    with pytest.raises(ParityError, match="more digits than float32 has"):
        lab.export(model, example=data[:200])


@pytest.mark.slow
def test_a_wrong_file_is_still_found_out(steps: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = steps
    other = make_pipeline(StandardScaler(), RandomForestClassifier(60, random_state=1)).fit(data, data[:, 0] > 300)
    monkeypatch.setattr(type(model), "predict_proba", lambda _, x: other[-1].predict_proba(other[0].transform(x)))
    with pytest.raises(ParityError, match="not because they lie at a threshold"):
        lab.export(model, example=data[:200])


@pytest.mark.parametrize(
    ("model", "options", "error", "says"),
    [
        (make_pipeline(StandardScaler(), Ridge()), {}, BadInput, "not fitted"),
        (make_pipeline(StandardScaler(), Mine(), Ridge()).fit(X, Y), {}, UnsupportedOperator, r"step 'mine' \(Mine\)"),
        (
            make_pipeline(FunctionTransformer(np.abs), Ridge()).fit(X, Y),
            {},
            UnsupportedOperator,
            "function of its own",
        ),
        (
            MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(X, np.stack([Y, TWO], 1)),
            {},
            ExportError,
            "estimators_",
        ),
        (Ridge().fit(X, Y), {"opset": 25}, BadInput, "up to 22"),
        (Ridge().fit(X, Y), {"exporter": "torchscript"}, BadInput, "scikit-learn model"),
        (Ridge().fit(X, Y), {"example": X[:3, :2]}, BadInput, "2 features[\\s\\S]*4, as it was fitted"),
        (Ridge().fit(X, Y), {"dynamic": {"X": {1: "features"}}}, BadInput, "fixed by the fit"),
        (Ridge().fit(X, Y), {"example": [["a", "b", "c", "d"]]}, BadInput, "does not run on its inputs"),
    ],
)
def test_what_cannot_go(model: Any, options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        lab.export(model, **options)


@pytest.mark.slow
def test_names_sizes_and_the_cache() -> None:
    model = Ridge().fit(X, Y)
    m = lab.export(model, example=X[:4], dynamic=False, input_names=["f"], output_names=["price"], name="r")
    assert [str(i) for i in (*m.inputs, *m.outputs)] == ["f: float32[4, 4]", "price: float32[4, 1]"]
    assert not lab.export(model, example=X[:5]).cached
    assert lab.export(model, example=X[:5]).cached
    assert not lab.export(Ridge(alpha=3).fit(X, Y), example=X[:5]).cached


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [make_pipeline(StandardScaler(), LogisticRegression()), HistGradientBoostingClassifier(max_iter=5)]
)
def test_the_plain_code_makes_the_same_model(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    model.fit(X, Y)
    m = lab.export(model, example=X[:20])
    step = m.lineage[-1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_container, "make_node", _container.make_node)  # put back after what the code does to it
    exec(plain_code(**{**step.options, **step.notes}).replace("model = ...", "pass"), {"model": model})
    made = lab.load(tmp_path / "model.onnx")
    feeds = {"X": X.astype(np.float32)}
    for name, values in lab.infer(m, feeds).outputs.items():
        np.testing.assert_array_equal(lab.infer(made, feeds).outputs[name], values)


@pytest.mark.slow
def test_the_file_walks_the_rest_of_the_road() -> None:
    m = lab.export(RandomForestClassifier(10).fit(X, Y), example=X[:50])
    fast = lab.optimize(m)
    speed = lab.bench([m, fast], batch=[1, 16], budget_s=4)
    assert {(r.name, r.batch) for r in speed.rows} == {(x.name, b) for x in (m, fast) for b in (1, 16)}
    assert lab.inspect(m).operators == {"ai.onnx.ml::TreeEnsembleClassifier": 1}
