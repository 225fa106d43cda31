"""best: the short list of recipes, made, asked, timed in turns, and ranked with reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnx_lab._a_model import check_model
from onnx_lab._progress import listener
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput, OnnxLabError, ProviderError
from onnx_lab.feeds import model_feeds
from onnx_lab.measure._judging import Candidate, Limits
from onnx_lab.measure._result import Machine, Result
from onnx_lab.measure.bench import Benchmark, bench
from onnx_lab.measure.profile import Profile, profile
from onnx_lab.measure.verdict import Verdict, VerdictRow, cells, judged
from onnx_lab.measure.why import reasons as sentences
from onnx_lab.model import Model
from onnx_lab.recipes.recipe import Recipe, function
from onnx_lab.recipes.shortlist import Pick, not_listed, shortlist
from onnx_lab.runtime.doctor import doctor
from onnx_lab.runtime.target import Target
from onnx_lab.task import Dataset, Feeds, Task

#: Without a Task: the mean cosine that a recommendation keeps; 8-bit weights alone are at 0.9997, good int8 at 0.99.
MIN_COSINE = 0.99
#: With calibration feeds and no Task, answers are compared on at most this many batches.
_COMPARED_BATCHES = 16
_PROFILED_RUNS = 8

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, repr=False)
class Ranking(Result):
    """What was tried, fastest first, and what to take.

    Attributes
    ----------
    best : Model or None
        What to take; None when nothing qualifies.
    best_target : Target or None
        Where to run it.
    verdict : Verdict
        Size, speed and answers side by side.
    speed : Benchmark
        All timings.
    reasons : dict of str to str
        Name -> what put it on the list.
    whys : dict of str to tuple of str
        Name -> what its profile says next to that of the file as it is; empty where there is none.
    left_out : tuple of (name, reason)
        What could not be made or run, and what was missing for it.
    models : dict of str to (Model, Target)
        Name -> the file and where it ran: the runner-up is one look away.
    """

    verdict: Verdict
    speed: Benchmark
    reasons: dict[str, str]
    whys: dict[str, tuple[str, ...]]
    left_out: tuple[tuple[str, str], ...]
    models: dict[str, tuple[Model, Target]]
    machine: Machine

    def __bool__(self) -> bool:
        return bool(self.verdict)

    @property
    def best(self) -> Model | None:
        return self.verdict.best

    @property
    def best_target(self) -> Target | None:
        return self.verdict.best_target

    @property
    def recipe(self) -> Recipe | None:
        """The transforms that made the best one."""
        return Recipe.of(self.best) if self.best else None

    @property
    def rows(self) -> tuple[VerdictRow, ...]:
        """Fastest first."""
        return tuple(sorted(self.verdict.rows, key=lambda r: -(r.ratio or 0)))

    def _records(self) -> list[dict[str, Any]]:
        return [{**vars(r), "reason": self.reasons.get(r.name, "")} for r in self.rows]

    def _card(self) -> Card:
        taken = self.best.name if self.best else None
        header = ("model", "on", "size", "of baseline", "latency", "speed", "answers", "verdict")
        shown = tuple(cells(r, r.name == taken) for r in self.rows)
        what = tuple((r.name, self.reasons[r.name]) for r in self.rows if self.reasons.get(r.name))
        tones = {
            (i, 7): "good" if r.name == taken else "" if r.qualifies or not r.why else "bad"
            for i, r in enumerate(self.rows)
        }
        on = f" on {self.best_target}" if self.best_target else ""
        facts = [
            ("asked", self.verdict.asked),
            ("shape", self.verdict.shape),
            ("machine", f"{self.machine.cpu}, {self.speed.threads} threads"),
        ]
        tables = [Table(header, shown, "", tones), *([Table(("model", "what it is"), what)] if what else [])]
        notes = [f"{name}: {'; '.join(said)}" for name, said in self.whys.items()]
        notes += [*(f"left out: {name}: {why}" for name, why in self.left_out), *self.speed.doubts]
        return Card(f"take {taken}{on}" if taken else "none qualifies", facts, tables, notes)


def best(
    m: Model,
    on: Task | Dataset | None = None,
    *,
    target: str | Target | Sequence[str | Target] = "auto",
    calibration: Dataset | None = None,
    batch: int = 1,
    seq: int = 128,
    padding: bool = True,
    fixed: bool = False,
    against: Any = None,
    max_points_lost: float = 1.0,
    min_cosine: float = MIN_COSINE,
    max_ms: float | None = None,
    max_mb: float | None = None,
    budget_s: float = 90.0,
    explain: bool = True,
    progress: Progress | None = None,
) -> Ranking:
    """Try what the evidence suggests for this architecture on this machine, and say which (file, target) to take.

    Parameters
    ----------
    m : Model
        In float32.
    on : Task or dataset, optional
        What the answers are judged by. Feeds without labels are compared with the answers of `m`, and serve as
        calibration data too. Default: random feeds.
    target : str, Target, or a sequence of them, default "auto"
        ``"auto"``: all that run here, as `onnx_lab.doctor` proves.
    calibration : dataset, optional
        Feeds for static quantization; with a Task, samples that it does not ask about.
    batch, seq : int
        The shape that is timed. Default 1 and 128.
    padding : bool, default True
        False states that no text is ever padded: files then have no mask, and are right for such inputs only.
    fixed : bool, default False
        Also make each file for exactly this `batch` and `seq`. Such a file takes no other size, so its answers are
        those of the file that it was made from; both were run at this size before it was written.
    against : torch.nn.Module or Model, optional
        What the ratios refer to. Default: `m` on the first target.
    max_points_lost, min_cosine, max_ms, max_mb : float
        What must hold: accuracy points on the Task (default 1); without a Task the mean cosine (default 0.99); and
        if given, milliseconds and MB.
    budget_s : float, default 90
        Seconds of measuring, beside the making of the files.
    explain : bool, default True
        Profile each file beside the original, and say where its time goes.
    progress : callable, optional
        Called with a dict: ``kind`` is ``"making"`` or ``"profiling"`` (with ``name``, ``done``, ``of``), or
        those of `onnx_lab.bench`.

    Returns
    -------
    Ranking
        ``.best``, ``.best_target``, ``.recipe``, and the table with a reason for each.

    Raises
    ------
    ProviderError
        When a target that was named does not run here.
    BadInput
        When the data fits no input.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> ranking = lab.best(lab.samples.tiny(), target="cpu", budget_s=2)
    >>> sorted(r.name for r in ranking.rows)
    ['tiny', 'tiny-int8', 'tiny-optimized']
    """
    check_model(m)
    targets = _targets(target)
    task = on if isinstance(on, Task) else None
    feeds = None if isinstance(on, Task) else on
    if calibration is None and feeds is not None:
        calibration = feeds
    found = shortlist(
        m,
        targets,
        calibrated=calibration is not None,
        smallest=max_mb is not None,
        padding=padding,
        fixed={"batch": batch, "seq": seq} if fixed else None,
    )
    tell = progress or listener() or (lambda _: None)
    made, left_out = _made(m, found, calibration, tell)
    contestants: dict[str, Any] = {model.name: (model, pick.target) for pick, model in made}
    if against is not None and not any(against is model for _, model in made):
        contestants = {_name(against): against, **contestants}
    speed = bench(
        contestants, batch=batch, seq=seq, against=against and _name(against), budget_s=budget_s, progress=tell
    )
    models = {model.name: (model, pick.target) for pick, model in made}
    verdict = judged(
        [Candidate(model, pick.target, models[pick.twin][0] if pick.twin else None) for pick, model in made],
        Limits(max_points_lost, min_cosine, max_ms, max_mb),
        task=task,
        data=None if feeds is None else [f for _, f in zip(range(_COMPARED_BATCHES), feeds, strict=False)],
        speed=speed,
        baseline=m,
    )
    reasons = {model.name: pick.why for pick, model in made}
    missing = not_listed(m, targets, calibrated=calibration is not None)
    whys = _whys(made, model_feeds(m, batch=batch, seq=seq), tell) if explain else {}
    return Ranking(verdict, speed, reasons, whys, (*left_out, *missing), models, verdict.machine)


def _targets(given: str | Target | Sequence[str | Target]) -> list[Target]:
    if given == "auto":
        return [Target(t) for t in doctor().targets]
    asked = [given] if isinstance(given, (str, Target)) else given
    targets = [Target.of(t) for t in asked]
    runs = ("cpu",) if {t.provider for t in targets} == {"cpu"} else doctor().targets
    for t in targets:
        if t.provider not in runs:
            raise ProviderError(f"{t} does not run here", accepted=", ".join(runs), do="lab.doctor() says why")
    if not targets:
        raise BadInput("no target", accepted="'auto', or one or more of " + ", ".join(runs))
    return targets


def _made(
    m: Model, picks: Sequence[Pick], calibration: Dataset | None, progress: Progress
) -> tuple[list[tuple[Pick, Model]], list[tuple[str, str]]]:
    """Each pick's Model, and for those that could not be made the reason."""
    made, failed = [], []
    known: dict[str, Model] = {"[]": m}  # recipes begin alike: what they share is made once
    for done, pick in enumerate(picks):
        progress({"kind": "making", "name": pick.name, "done": done, "of": len(picks)})
        try:
            made.append((pick, _walk(pick, calibration, known)))
        except OnnxLabError as e:
            failed.append((pick.name, e.came))
    return made, failed


def _walk(pick: Pick, calibration: Dataset | None, known: dict[str, Model]) -> Model:
    m = known["[]"]
    for i, (verb, options) in enumerate(pick.steps):
        so_far = repr([*pick.steps[: i + 1]])
        if so_far not in known:
            last = i == len(pick.steps) - 1
            data = {"data": calibration} if verb == "quantize" and pick.calibrated else {}
            known[so_far] = function(verb)(m, **options, **data, name=pick.name if last else f"{pick.name}-{verb}")
        m = known[so_far]
    return m if m.name == pick.name else replace(m, name=pick.name)


def _whys(made: Sequence[tuple[Pick, Model]], feeds: Feeds, progress: Progress) -> dict[str, tuple[str, ...]]:
    """What the profiles say; those of a target that compiles the graph say nothing."""
    origin: Profile | None = None
    whys = {}
    for done, (pick, model) in enumerate(made):
        if pick.target.provider != "cpu":
            continue
        progress({"kind": "profiling", "name": model.name, "done": done, "of": len(made)})
        own = profile(model, feeds, target=pick.target, runs=_PROFILED_RUNS)
        if origin is None:
            origin = own  # the file as it is comes first
        else:
            whys[model.name] = tuple(sentences(own, origin))
    return whys


def _name(against: Any) -> str:
    return against.name if isinstance(against, Model) else f"{type(against).__name__} (PyTorch)"
