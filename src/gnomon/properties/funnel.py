"""A funnel: many crystals, a cheap property, the best of them, a dearer one, and so on to few.

Each step computes a property of what is left, leaves out what has no value or not the right one,
and says how many went for which reason.  Its folder is that of ``compute``: a finished step is not
done again.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import to_arrow
from gnomon.io.tables import OK, read_table, write_table
from gnomon.properties.compute import compute, rows_of
from gnomon.properties.registry import PROPERTIES, PropertySettings
from gnomon.run.listener import SILENT, Listener
from gnomon.run.writing import write_json

if TYPE_CHECKING:
    import plotly.graph_objects as go


FOLDER = "funnel"
"""Of a campaign's funnel, in the folder of its tables."""

FACTS = "funnel.json"


class Step(BaseModel):
    """A property, and which of its values go on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    property: str = Field(description="its name, as in gnomon properties --list")
    column: str = Field(default="value", description="of its table")
    at_least: float | None = Field(default=None, description="least value that goes on")
    at_most: float | None = Field(default=None, description="largest value that goes on")
    best: int | None = Field(default=None, ge=1, description="so many go on at most")
    lowest: bool = Field(default=False, description="the best are the lowest")
    evaluator: EvaluatorConfig = EvaluatorConfig()
    relax: RelaxConfig = RelaxConfig()
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="of properties by their names"
    )

    @field_validator("property")
    @classmethod
    def _exists(cls, name: str) -> str:
        PROPERTIES.check(name)
        return name

    @model_validator(mode="after")
    def _cuts(self) -> Step:
        low, high = self.at_least, self.at_most
        if low is None and high is None and self.best is None:
            raise ValueError("a step cuts: give at_least, at_most or best")
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_least {low:g} is above at_most {high:g}: nothing goes on")
        return self

    def __str__(self) -> str:
        """What goes on, for people."""
        name = self.property if self.column == "value" else f"{self.property} {self.column}"
        said = [f"≥ {self.at_least:g}"] if self.at_least is not None else []
        said += [f"≤ {self.at_most:g}"] if self.at_most is not None else []
        if self.best is not None:
            said.append(f"the {self.best} {'lowest' if self.lowest else 'highest'}")
        return f"{name} {' and '.join(said)}"


@dataclass(frozen=True)
class Stage:
    """What became of the crystals that came to a step.

    Attributes:
        step: what was asked, for people.
        level: what gave the values.
        came, went_on: crystals.
        losses: reasons to how many crystals.
    """

    step: str
    level: str
    came: int
    went_on: int
    losses: dict[str, int]


def read_steps(path: Path) -> list[Step]:
    """The steps of a TOML file, ``[[step]]`` each.

    Raises:
        ValueError: if it cannot be read, or a step makes no sense; it names step and key.
    """
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} cannot be read as TOML: {error}") from error
    steps = given.get("step")
    if set(given) != {"step"} or not isinstance(steps, list) or not steps:
        raise ValueError(f"{path}: give the steps as [[step]] sections, and nothing else")
    found = []
    for number, step in enumerate(steps, 1):
        try:
            found.append(Step.model_validate(step))
        except ValidationError as error:
            said = "; ".join(
                ".".join(map(str, e["loc"])) + f": {e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
            )
            raise ValueError(f"{path}: step {number}: {said.removeprefix(': ')}") from error
    return found


def funnel(
    crystals: Crystals, steps: Sequence[Step], out: Path, listener: Listener = SILENT
) -> list[Stage]:
    """Run the steps one after the other, or go on with them.

    Args:
        crystals: that come to the first step.
        steps: in order, the cheap ones first.
        out: folder: ``step-1/NAME.parquet`` and so on, ``left.parquet`` (crystals with the value of
            each step), ``funnel.json`` and ``funnel.html``.
        listener: hears of progress.

    Raises:
        ClaimError: if the folder holds steps of another request.
        ValueError: if a column is none of the property's, or holds no numbers.
    """
    left, stages = crystals, []
    _, firsts = np.unique(left.ids.astype(str), return_index=True)
    left = left.take(np.sort(firsts))
    columns: dict[str, pa.Array] = {}
    for number, step in enumerate(steps, 1):
        settings = PropertySettings(step.evaluator, step.relax, step.options, listener)
        where = out / f"step-{number}"
        compute(left, [step.property], settings, where)
        table = rows_of(read_table(where / f"{step.property}.parquet"), left)
        kept, losses = cut(table, step)
        level = table["level"][0].as_py() if len(table) else ""
        stages.append(Stage(str(step), level, len(left), len(kept), losses))
        listener.say(f"step {number}: {step}: {len(kept)} of {len(left)} go on")
        left = left.take(kept)
        name = f"{number} {step.property} {step.column}"
        columns = {key: values.take(pa.array(kept)) for key, values in columns.items()}
        columns[name] = table[step.column].take(pa.array(kept)).combine_chunks()
    rows = to_arrow(left)
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    write_table(out / "left.parquet", rows)
    write_json(out / FACTS, {"stages": [asdict(stage) for stage in stages]})
    figure(stages).write_html(
        out / "funnel.html", include_plotlyjs=True, config={"displayModeBar": False}
    )
    return stages


def read_stages(folder: Path) -> list[Stage]:
    """What became of the crystals at each step of a funnel in a folder; none where there is none.

    Raises:
        ValueError: if the file of it is damaged.
    """
    path = folder / FACTS
    if not path.exists():
        return []
    try:
        return [Stage(**stage) for stage in json.loads(path.read_text("utf-8"))["stages"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): run the funnel again") from error


def cut(table: pa.Table, step: Step) -> tuple[np.ndarray, dict[str, int]]:
    """Rows that go on, in order, and why the others do not."""
    numbers = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    if step.column not in numbers:
        raise ValueError(
            f"{step.property} has no column of numbers {step.column!r}: {', '.join(numbers)}"
        )
    values = table[step.column].to_numpy(zero_copy_only=False).astype(np.float64)
    reasons = np.array(table["status"].to_pylist(), dtype=object)
    reasons[reasons == OK] = ""
    lost = (reasons == "") & ~np.isfinite(values)
    reasons[lost] = f"no {step.column}"
    with np.errstate(invalid="ignore"):
        if step.at_least is not None:
            reasons[(reasons == "") & (values < step.at_least)] = f"below {step.at_least:g}"
        if step.at_most is not None:
            reasons[(reasons == "") & (values > step.at_most)] = f"above {step.at_most:g}"
    passed = np.flatnonzero(reasons == "")
    if step.best is not None and len(passed) > step.best:
        order = np.argsort(values[passed] if step.lowest else -values[passed], kind="stable")
        reasons[passed[order[step.best :]]] = f"not among the best {step.best}"
    kept = np.flatnonzero(reasons == "")
    return kept, dict(Counter(reason for reason in reasons.tolist() if reason).most_common())


def figure(stages: Sequence[Stage]) -> go.Figure:
    """How many of how many remain at each step, in widths as their logarithms; reasons of the
    losses on hovering."""
    import plotly.graph_objects as go

    counts = [stages[0].came, *(stage.went_on for stage in stages)]
    labels = ["given", *(f"{i}. {stage.step}" for i, stage in enumerate(stages, 1))]
    hover = [""] + [_hover(stage.level, stage.losses) for stage in stages]
    trace = go.Funnel(
        y=labels,
        x=np.log10(np.maximum(counts, 1)) + 0.1,
        text=[f"{count:,}" for count in counts],
        textinfo="text",
        textposition="auto",
        customdata=hover,
        hovertemplate="%{y}: %{text}%{customdata}<extra></extra>",
        marker={"color": "#2a7f9e"},
        connector={"fillcolor": "#e4e8ec"},
    )
    made = go.Figure(trace)
    made.update_layout(
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#1c2733"},
        margin={"l": 20, "r": 20, "t": 20, "b": 20},
        plot_bgcolor="white",
        height=120 + 70 * len(labels),
    )
    made.update_yaxes(automargin=True)
    return made


def _hover(level: str, losses: Mapping[str, int]) -> str:
    said = [escape(level), *(f"{count:,} × {escape(why)}" for why, count in losses.items())]
    return "".join(f"<br>{line}" for line in said)
