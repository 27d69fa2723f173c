"""Settings of a campaign: typed sections, each defined beside the code that reads it, TOML outside.

system = "Au-Cu"
[evaluator]
name = "ase:ase.calculators.emt.EMT"
[budget]
evaluations = 240
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from gnomon.discover.closure import MarginConfig
from gnomon.discover.runner import RunConfig
from gnomon.discover.screen import ScreenConfig
from gnomon.discover.wide.settings import WideConfig
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import excluded, parse_system
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.generate.evolution.population import STABILITY, parse_objective
from gnomon.generate.prototypes.occurrence import BUNDLED as KNOWN_PROTOTYPES
from gnomon.generate.registry import GENERATORS, LEARNED
from gnomon.models.wyckoff.properties import parse_ask
from gnomon.run.checks import read_by
from gnomon.run.registry import closest


class ConfigError(ValueError):
    """Settings that cannot be used; the message names the key, the value and the remedy."""


class GenerateConfig(BaseModel):
    """Where candidates come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generators: tuple[str, ...] = Field(
        default=("prototypes", "substitution"), min_length=1, description="built in or plug-ins"
    )
    max_atoms: int = Field(default=16, ge=1, description="atoms in a candidate's primitive cell")
    max_candidates: int = Field(
        default=100_000, ge=1, description="candidates taken from each generator in a round"
    )
    parents: tuple[Path, ...] = Field(
        default=(), description="files of crystals to substitute into"
    )
    known: tuple[Path, ...] = Field(
        default=(),
        description="files of known crystals: their compositions are not new, and those within the "
        "system are evaluated first, as competing phases",
    )

    candidates: tuple[Path, ...] = Field(
        default=(), description="files of candidates that another program made"
    )
    label: str = Field(
        default="file", min_length=1, description="name of that program, for the lineage"
    )

    objectives: Annotated[tuple[str, ...], read_by(parse_objective)] = Field(
        default=(STABILITY,),
        min_length=1,
        description="what evolution breeds for: e_above_hull, and 'max NAME' or 'min NAME' of a "
        "table of properties in the folder; the best fronts of several",
    )

    ask: Annotated[tuple[str, ...], read_by(parse_ask)] = Field(
        default=(),
        description="properties that learned draws for, such as band_gap>2; they only shift the "
        "odds",
    )

    @model_validator(mode="after")
    def _who_asks_has_one_that_listens(self) -> GenerateConfig:
        if self.ask and LEARNED not in self.generators:
            raise ValueError(
                f"ask ({', '.join(self.ask)}) is for the generator {LEARNED!r}: add it to "
                f"generators, which are {', '.join(self.generators)}"
            )
        return self

    @field_validator("generators")
    @classmethod
    def _exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            GENERATORS.check(name)
        return names


class LearnConfig(BaseModel):
    """What ranks candidates: other crystals, the potential that screens, networks of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_labels: int = Field(
        default=50, ge=10, description="converged compounds before the campaign's hull ranks"
    )
    estimates: bool = Field(
        default=True,
        description="from then on, rank by the energies that the potential that screens has for "
        "candidates as proposed, where it is quick to ask; otherwise networks are trained on the "
        "campaign's labels",
    )
    prior: bool = Field(
        default=True,
        description="until then, rank by what known crystals of like elements look like and by "
        "the networks in the package, which learned from DFT of the Materials Project; otherwise "
        "by the generators' own preference",
    )
    prototypes: str = Field(
        default=KNOWN_PROTOTYPES,
        description="known crystals, whose structures are tried and which say how often prototypes "
        "occur: those in the package, or a file of `gnomon model train prototypes`",
    )


class LevelConfig(EvaluatorConfig):
    """An evaluator that decides."""

    relax: RelaxConfig | None = Field(default=None, description="instead of the campaign's")

    @model_validator(mode="before")
    @classmethod
    def _is_written_in_words(cls, given: Any) -> Any:
        """A name, and options after it: ``ase:module.Class model=large device=cpu``."""
        if not isinstance(given, str) or Path(given).is_file():
            return {"name": given} if isinstance(given, str) else given
        name, *words = given.split()
        if wrong := [word for word in words if "=" not in word]:
            raise ValueError(f"{wrong[0]!r} after {name}: write options as NAME=VALUE")
        return {"name": name, "options": dict(map(_option, words))}


def _option(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


ALL = "all"
"""Name of a campaign without a system."""

AUTO: Literal["auto"] = "auto"
NONE = "none"


def _levels(given: Any) -> Any:
    several = [given] if isinstance(given, str | dict) else given
    if isinstance(several, list | tuple) and len(several) == 1 and several[0] in (AUTO, NONE):
        return AUTO if several[0] == AUTO else ()
    return several


class DecideConfig(MarginConfig):
    """Which evaluators decide what the campaign's evaluator screened, and how much of it."""

    levels: Annotated[Literal["auto"] | tuple[LevelConfig, ...], BeforeValidator(_levels)] = Field(
        default=AUTO,
        description="what decides, one level after the other: evaluators as in [evaluator], or "
        "their names with options, as in 'ase:module.Class model=large'; none; auto takes "
        "nequix-oam-1-pft, or else SevenNet, where a potential in the package screens",
    )


class BudgetConfig(BaseModel):
    """When to stop.  The only settings that may change when a campaign goes on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluations: int = Field(
        default=240, ge=1, description="evaluations of candidates, references not counted"
    )
    minutes: float = Field(default=60.0, gt=0, description="wall time of one command")
    rounds: int = Field(default=4, ge=1, description="rounds of the loop")
    first_round: int = Field(
        default=120, ge=1, description="evaluations in a round without a network"
    )
    per_round: int = Field(default=60, ge=1, description="evaluations in a round with a network")
    decisions: int = Field(
        default=240, ge=1, description="evaluations at each level that decides, references counted"
    )


def _elements(given: Any) -> tuple[str, ...]:
    symbols = [given] if isinstance(given, str) else given
    if not isinstance(symbols, list | tuple) or not all(isinstance(s, str) for s in symbols):
        raise ValueError("write a chemical system as 'Au-Cu' or ['Au', 'Cu']")
    text = "-".join(symbols)
    parse_system(text)  # refuses what is none
    return tuple(symbol.strip() for symbol in text.split("-"))


System = Annotated[tuple[str, ...], BeforeValidator(_elements)]


class CampaignConfig(BaseModel):
    """Everything that defines a campaign: the settings of its TOML file.

    >>> config = CampaignConfig(system="Au-Cu", budget={"evaluations": 20})
    >>> config.name, config.budget.evaluations, config.evaluator.name
    ('Au-Cu', 20, 'gnomon-2')

    Raises:
        ValueError: for a setting that does not exist, or a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: System | None = Field(
        default=None,
        description="elements of the chemical system, as in Au-Cu; without it all known crystals "
        "are the parents",
    )
    seed: int = Field(default=0, ge=0, description="of every random choice")
    generate: GenerateConfig = GenerateConfig()
    screen: ScreenConfig = ScreenConfig()
    evaluator: EvaluatorConfig = EvaluatorConfig()
    references: Literal["measured", "fitted"] = Field(
        default="measured",
        description="energies of the elements that formation energies of compounds are taken "
        "from: of their measured ground states, or those that fit compounds of the Materials "
        "Project best, where the package has them for the level",
    )
    decide: DecideConfig = DecideConfig()
    relax: RelaxConfig = RelaxConfig()
    learn: LearnConfig = LearnConfig()
    budget: BudgetConfig = BudgetConfig()
    wide: WideConfig = WideConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _are_not_excluded(self) -> CampaignConfig:
        excluded(self.system or self.wide.elements, self.screen.exclude)
        if self.system is None and len(self.generate.parents) != 1:
            raise ValueError(
                "without a system the parents are one database of crystals with energies "
                f"(generate.parents, --parents FILE), not {len(self.generate.parents)}"
            )
        return self

    @property
    def name(self) -> str:
        """The chemical system as the user wrote it, such as ``Ti-O``; without one ``all``."""
        return ALL if self.system is None else "-".join(self.system)

    @property
    def elements(self) -> tuple[str, ...]:
        """Of the system, in alphabetical order."""
        return tuple(sorted(self.system or ()))


def settings_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a campaign as its folder keeps them; one of before had no level to decide."""
    given = provenance["config"]
    return {**given, "decide": {"levels": [], **given.get("decide", {})}}


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> CampaignConfig:
    """Settings from a TOML file (or none) with overrides on top.

    Args:
        path: TOML file.
        overrides: dotted keys to values, such as ``{"budget.minutes": 10}``; None is no override.

    Raises:
        ConfigError: for a file that cannot be read, an unknown key or a value out of range.
    """
    settings: dict[str, Any] = {}
    if path is not None:
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}: give a TOML file of settings") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    for key, value in overrides.items():
        if value is not None:
            _put(settings, key.split("."), value)
    try:
        return CampaignConfig.model_validate(settings)
    except ValidationError as error:
        where = f"{path}: " if path is not None else ""
        raise ConfigError(where + "; ".join(_explain(e) for e in error.errors())) from error


def _put(settings: dict[str, Any], path: list[str], value: Any) -> None:
    *sections, key = path
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"{section} must be a section of the file, [{section}]")
    settings[key] = value


def _explain(error: Any) -> str:
    location = [str(part) for part in error["loc"]]
    name = ".".join(location)
    if error["type"] == "extra_forbidden":
        close = closest(location[-1], _keys(location[:-1]))
        known = f"did you mean {close}?" if close else f"known: {', '.join(_keys(location[:-1]))}"
        return f"unknown setting {name} ({known})"
    if error["type"] == "missing":
        return f"the setting {name} is missing"
    if not location:
        return str(error["msg"]).removeprefix("Value error, ")
    return f"{name} = {error['input']!r}: {error['msg'].removeprefix('Value error, ')}"


def _keys(sections: Iterable[str]) -> list[str]:
    model: type[BaseModel] = CampaignConfig
    for section in sections:
        annotation = model.model_fields[section].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)
