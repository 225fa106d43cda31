from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnx_lab as lab
from onnx_lab import plots
from onnx_lab.errors import BadInput, MissingExtra
from onnx_lab.measure._benchmark import Account, Benchmark
from onnx_lab.measure._entrants import Shape
from onnx_lab.measure._result import this_machine
from onnx_lab.measure._rounds import Samples
from onnx_lab.measure.verdict import Verdict, VerdictRow
from onnx_lab.model import Model
from onnx_lab.plots import theme
from onnx_lab.plots.chart import PLOTLY_MIME, Chart

# name, target, milliseconds
THREE = (("net", "torch", 90.0), ("fp32", "cpu", 75.0), ("int8", "cpu", 20.0))


def benchmark(shapes: tuple[tuple[int, int | None], ...] = ((1, 128),), who: Any = THREE) -> Benchmark:
    samples = [
        Samples(name, target, i, g, r, 0, 1, (ms / 1e3 * (1 + 0.01 * ((r + g) % 3)),) * 3, 0.0, 0.1)
        for name, target, ms in who
        for i in range(len(shapes))
        for g in range(3)
        for r in range(4)
    ]
    accounts = tuple(Account(n, t, 10**7, 10**8, (0.1,), "CPU 3 nodes", "as the file says", "", ()) for n, t, _ in who)
    return Benchmark(
        samples=tuple(samples),
        accounts=accounts,
        shapes=tuple(Shape(*s) for s in shapes),
        reference=who[0][:2],
        threads=2,
        generations=3,
        budget_s=1.0,
        elapsed_s=1.0,
        doubts=(),
        machine=this_machine(),
    )


def judged(m: Model) -> Verdict:
    rest = (1.1, 1.0, 1.2, 0.9, 0.5, 0.01, None)
    rows = (
        VerdictRow("net", "torch", 10**8, None, 0.02, 1.0, 1.0, 1.0, None, None, None, None, False, ""),
        VerdictRow(m.name, "cpu", 10**7, 0.1, 0.01, *rest, True, "keeps the answers"),
        VerdictRow("int4", "cpu", 10**6, 0.01, 0.02, *rest, False, "loses 5.0 points"),
    )
    return Verdict(rows, m, "net", "batch 1", "at most 1 point lost", this_machine())


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    m = lab.samples.tiny()
    feeds = {"x": np.ones((8, 8), np.float32)}
    task = lab.Task("toy", [feeds], np.array([0, 1, 2, 3] * 2), ("a", "b", "c", "d"))
    return {
        "one shape": benchmark(),
        "grid": benchmark(((1, 32), (1, 128), (8, 32), (8, 128))),
        "only batches": benchmark(((1, None), (8, None))),
        "alone": benchmark(((1, 32), (1, 128)), THREE[1:2]),
        "inspection": lab.inspect(m),
        "inference": lab.infer(m, feeds),
        "labelled": lab.infer(m, feeds, labels=list("abcd")),
        "accuracy": lab.accuracy(m, task),
        "comparison": lab.compare(m, lab.samples.tiny(seed=1), feeds),
        "equal": lab.compare(m, m, feeds),
        "verdict": judged(m),
        "model": m,
        "models": [m, lab.samples.tiny(features=16)],
    }


KINDS = (
    "one shape,grid,only batches,alone,inspection,inference,labelled,accuracy,comparison,equal,verdict,model,models"
).split(",")


@pytest.mark.parametrize("kind", KINDS)
def test_every_result_has_a_small_chart_with_a_table(results: dict[str, Any], kind: str) -> None:
    chart = plots.chart(results[kind])
    bundle = chart._repr_mimebundle_()
    assert set(bundle) == {PLOTLY_MIME, "text/html", "text/plain"}
    assert len(json.dumps(bundle)) < 20_000
    assert bundle["text/plain"].startswith(chart.title)
    assert "<table" in bundle["text/html"]
    assert "<script" not in str(bundle)
    assert bundle[PLOTLY_MIME]["data"]
    assert not any("bdata" in str(trace) for trace in bundle[PLOTLY_MIME]["data"]), "numbers stay readable"


@pytest.mark.parametrize("kind", KINDS)
def test_figures_lie_on_any_page(results: dict[str, Any], kind: str) -> None:
    layout = plots.figure(results[kind]).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == theme.CLEAR
    assert len(layout.template.to_plotly_json()["data"]) <= 1, "Plotly's own template weighs more than a figure"
    assert 120 <= layout.height <= 620


def test_a_result_plots_itself(results: dict[str, Any]) -> None:
    chart = results["inspection"].plot()
    assert isinstance(chart, Chart)
    assert chart.figure.layout.title.text == "<b>Nodes per operator: tiny</b>"


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_colours_read_on_light_and_dark(page: str) -> None:
    assert contrast(theme.TEXT, page) > 4
    for colour in theme.SERIES:
        assert contrast(colour, page) > 3, colour


def test_white_text_reads_on_every_heat_map_colour() -> None:
    for _, colour in (*theme.DIVERGING, *theme.SEQUENTIAL):
        assert contrast("#ffffff", colour) > 4.2, colour


def test_bars_carry_interval_and_verdict(results: dict[str, Any]) -> None:
    fig = plots.figure(results["one shape"])
    texts = [a.text for a in fig.layout.annotations]
    assert texts[0].endswith("reference")
    assert "faster" in texts[2]
    assert all(v >= 0 for v in (*fig.data[0].error_x.array, *fig.data[0].error_x.arrayminus))
    assert max(fig.layout.xaxis.range) > max(fig.data[0].x)


def test_a_grid_is_one_heat_map_for_each_but_the_reference(results: dict[str, Any]) -> None:
    chart = plots.chart(results["grid"])
    assert [a.text for a in chart.figure.layout.annotations[:2]] == ["fp32", "int8"]
    assert len(chart.figure.data) == 2
    assert np.shape(chart.figure.data[0].z) == (2, 2)
    assert chart.tables[0].header == ("batch × sequence", "1 × 32", "1 × 128", "8 × 32", "8 × 128")
    assert "×" in chart.tables[0].rows[1][1]


def test_alone_there_is_no_ratio(results: dict[str, Any]) -> None:
    chart = plots.chart(results["alone"])
    assert "×" not in chart.title
    assert len(chart.figure.data) == 1


def test_one_name_in_two_places_is_told_apart() -> None:
    chart = plots.chart(benchmark(who=(*THREE, ("int8", "openvino", 18.0))))
    assert [row[0] for row in chart.tables[0].rows] == ["net", "fp32", "int8 on cpu", "int8 on openvino"]


def test_size_says_what_the_bytes_are(results: dict[str, Any]) -> None:
    m, wide = results["models"]
    chart = plots.size([m, wide, m])
    assert [t.name for t in chart.figure.data] == ["float32", "graph and small tensors"]
    for place, model in enumerate((m, wide, m)):
        assert sum(t.x[place] for t in chart.figure.data) == pytest.approx(model.size_bytes / 1e6)
    assert list(chart.figure.data[0].y) == ["tiny", "tiny #2", "tiny #3"], "equal names would be stacked on each other"
    assert chart.tables[0].rows[0][3] == "100%"


@pytest.mark.parametrize("thing", [[], 3, ["x"]])
def test_size_of_what_has_none(thing: Any) -> None:
    with pytest.raises(BadInput, match="accepted: a Model or a list of Models"):
        plots.size(thing)


def test_what_has_no_picture_is_refused() -> None:
    with pytest.raises(BadInput, match="has no picture"):
        plots.chart(object())


def test_shown_in_two_displays(results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: shown.append(data))
    plots.show(results["accuracy"])
    figure, table = shown
    assert figure["text/plain"] == "[chart: Right answers per class, %: tiny]"
    assert "responsive" not in figure[PLOTLY_MIME]["config"], "it would collapse when the theme is switched"
    assert "right" in table["text/plain"]
    assert "<table" in table["text/html"]


def test_an_interval_that_knows_nothing_leaves_the_scale_alone() -> None:
    fig = plots.figure(benchmark(who=(*THREE, ("wild", "cpu", 30.0))))
    calm = fig.layout.xaxis.range[1]
    wild = benchmark(who=(*THREE, ("wild", "cpu", 30.0)))
    noisy = tuple(
        replace(s, seconds=(s.seconds[0] * 10**s.generation,)) if s.name == "fp32" else s for s in wild.samples
    )
    shown = plots.figure(replace(wild, samples=noisy))
    assert shown.layout.xaxis.range[1] < 1.5 * 1.43 * max(shown.data[0].x)
    assert calm < 1.43 * 1.5 * 91


def test_without_plotly_the_extra_is_named(results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    for kind in ("one shape", "grid", "verdict", "model", "accuracy"):
        with pytest.raises(MissingExtra, match="jupyter"):
            plots.chart(results[kind])


def test_importing_plots_is_light() -> None:
    code = "import sys, onnx_lab.plots; print(sorted(sys.modules.keys() & {'plotly', 'pandas', 'onnx', 'torch'}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def layered(layers: int, tmp_path: Path) -> Model:
    """A file whose nodes name `layers` modules of two parts each."""
    names = [f"/net/layer.{i}/{part}" for i in range(layers) for part in ("fc", "act")]
    nodes = [
        helper.make_node(
            "MatMul" if "fc" in name else "Relu", [f"t{i}", "w"][: 1 + ("fc" in name)], [f"t{i + 1}"], name + "/n"
        )
        for i, name in enumerate(names)
    ]
    spec = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    ends = [spec("t0", 1, ["n", 8])], [spec(f"t{len(names)}", 1, ["n", 8])]
    graph = helper.make_graph(nodes, "net", *ends, [weight])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    return lab.load(tmp_path / "net.onnx")


def test_modules_are_an_icicle_that_adds_up(tmp_path: Path) -> None:
    chart = lab.inspect(layered(3, tmp_path)).plot()
    assert chart.below is not None
    tree = chart.below.figure.data[0]
    values = dict(zip(tree.ids, tree.values, strict=True))
    inside: dict[str, float] = {}
    for box, parent in zip(tree.ids, tree.parents, strict=True):
        inside[parent] = inside.get(parent, 0.0) + values[box]
    assert all(values[parent] >= total for parent, total in inside.items() if parent)
    assert list(tree.labels) == ["net", "net.layer", *(f"layer.{i}.fc" for i in range(3))], (
        "what only holds another is one box"
    )
    assert chart.below.title == "MACs by module"
    assert "net.layer.1" in repr(chart)
    assert "net.layer.1" in chart._repr_html_()
    assert chart.below.figure.layout.paper_bgcolor == theme.CLEAR


def test_a_profile_shows_time_by_module_in_the_order_of_layers(tmp_path: Path) -> None:
    chart = lab.profile(layered(11, tmp_path), runs=2).plot()
    assert chart.below is not None
    labels = [label for label in chart.below.figure.data[0].labels if label.startswith("layer.")]
    assert labels == sorted(labels, key=lambda text: int(text.split(".")[1]))
    assert chart.below.title == "Time by module"


def test_a_tree_of_many_modules_stays_small(tmp_path: Path) -> None:
    chart = lab.inspect(layered(400, tmp_path)).plot()
    assert chart.below is not None
    assert len(chart.below.figure.to_json()) < 20_000
