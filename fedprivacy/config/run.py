"""What one run is: data, federation, training, attack, defense. No torch in here, so a typo is answered at once."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fedprivacy.config.base import NONE, Part
from fedprivacy.config.canaries import CanaryConfig
from fedprivacy.config.inversion import InversionConfig
from fedprivacy.wire.graph import read

WORK = re.compile(r"([1-9]\d{0,8}) ?(step|round)s?")
"""A budget in steps, or in rounds."""
TIME = re.compile(r"(\d{1,9}(?:\.\d{0,9})?) ?([smhSMH])")
SECONDS = {"s": 1, "m": 60, "h": 3600}
"""A budget in time, and what its units stand for."""
MOST = 2**31 - 1
"""Largest whole number that a count may be: no machine holds more."""

Names = Annotated[tuple[str, ...], Field(strict=False)]


class DataConfig(Part):
    """Which records there are, and who holds them."""

    dataset: str = "mnist5k"
    """Name of a source: see `fedprivacy list datasets`."""
    data_dir: str | None = None
    """Folder or file that holds the data, for sources that are not embedded."""
    download: bool = False
    """Let torchvision fetch a named data set into data_dir."""
    skip_bad: bool = False
    """Leave out images that cannot be read instead of stopping."""
    image_size: int | None = Field(default=None, ge=4, le=1024)
    """Resize images to this many pixels a side (nearest neighbour); none keeps the source's size."""
    label: str | None = None
    """Column that holds the class, of a CSV or Parquet file."""
    scaling: Literal["public", "bounds", "private", "none"] = "public"
    """Feature columns to mean 0 and deviation 1 by public and auxiliary records, to -1..1 by --bounds, or by all
    training records, private ones too, which costs an infinite epsilon."""
    bounds: Names = ()
    """LOW:HIGH of the feature columns, one for all or one a column; implies scaling = bounds."""
    positive: str | None = None
    """A class that is told from all others, as in detection: the task then has two classes. None: all classes."""
    limit: int | None = Field(default=None, ge=1, le=MOST)
    """Use at most this many training records."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Part held out for testing where the source has no test set of its own."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Exact duplicates: drop all but one, or keep them (only without a membership game, inclusion = 1)."""
    layout: Literal["pools", "folds"] = "pools"
    """pools: each client owns a pool of candidates. folds: the training set in (clients + 1) * rounds + 1 stratified
    folds as in Gupta 2025, one to warm up, then one private fold a client and one public fold a round."""
    partition: Literal["iid", "dirichlet", "shards", "tasks"] = "iid"
    """How the pools differ between clients: alike, skewed, few classes each, or label sets that do not overlap."""
    alpha: float = Field(default=0.5, gt=0)
    """Concentration of the Dirichlet partition; small means skewed."""
    classes_per_client: int = Field(default=2, ge=1, le=MOST)
    """Classes a client holds under the partition shards; under tasks at most."""
    candidates: int | None = Field(default=400, ge=1, le=MOST)
    """Size of a client's candidate pool; none shares out whatever the other roles leave."""
    inclusion: float = Field(default=0.5, gt=0, le=1)
    """Probability of each candidate's coin. 1 trains on everything: no membership game."""
    schedule: Literal["whole", "fresh"] = "whole"
    """whole: every round trains on all members. fresh: the pool is cut into one new fold a round."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Part of each private fold that is only looked at, never trained on and never a candidate."""
    warmup: int = Field(default=0, ge=0, le=MOST)
    """Records for the common initial model; 0 starts from random weights."""
    public_set: Literal["dynamic", "static"] = "dynamic"
    """dynamic: a new public fold each round. static: the same fold in every round."""
    public_size: int = Field(default=64, ge=0, le=MOST)
    """Records of one public fold."""
    auxiliary: int = Field(default=600, ge=0, le=MOST)
    """Records the adversary owns: same distribution, never trained on by any client."""

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.duplicates == "keep" and self.inclusion < 1:
            raise ValueError(
                "duplicates = 'keep' would let a copy of a member pass as a non-member; "
                "use duplicates = 'drop', or inclusion = 1 for a run without a membership game"
            )
        if bool(self.bounds) != (self.scaling == "bounds"):
            raise ValueError("scaling = 'bounds' and bounds = LOW:HIGH come together")
        if self.layout == "folds" and self.partition != "iid":
            raise ValueError("layout = 'folds' is stratified; a skewed partition needs layout = 'pools'")
        return self


class TrainingConfig(Part):
    """How one client trains."""

    model: str = "mlp"
    """Architecture: see `fedprivacy list models`."""
    client_models: Names = ()
    """Architectures of the clients in turn, for protocols that allow different ones; empty: all use model."""
    heads: Literal["common", "own"] = "common"
    """common: every model has an output for every class. own: a client's model for the classes of its pool alone, under
    partitions that give clients label sets."""
    output: Literal["softmax", "sigmoid"] = "softmax"
    """Output of the model; sigmoid is one number for two classes, as in Gupta 2025."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Local optimiser."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of sgd."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty in the optimiser."""
    augmentation: Names = ()
    """What private images go through each time they are trained on: flip, shift, or both."""
    early_stopping: int | None = Field(default=None, ge=1, le=MOST)
    """Passes of a private phase without gain on the client's validation part after which it ends and goes back to its
    best pass; None trains for all local_epochs."""
    adam_eps: float = Field(default=1e-8, gt=0)
    """Epsilon of Adam (Keras: 1e-7)."""
    adam_eps_form: Literal["torch", "keras"] = "torch"
    """Where epsilon stands: torch, after bias correction; keras, before it, so that a fresh optimiser's is 32 times
    larger."""
    batch_size: int = Field(default=32, ge=1, le=MOST)
    """Records of one step."""
    local_epochs: int = Field(default=2, ge=1, le=MOST)
    """Passes over the private data in one round."""
    local_steps: int | None = Field(default=None, ge=1, le=MOST)
    """Gradient steps of one round, in the place of local_epochs; 1 with sgd is FedSGD, as gradient inversion has it."""
    warmup_epochs: int = Field(default=10, ge=0, le=MOST)
    """Passes over the warm-up records before round 1."""
    optimizer_state: Literal["auto", "fresh", "persistent"] = "auto"
    """Whether a client's optimiser keeps its moments from round to round. auto: fresh under protocols whose clients
    begin each round anew from what they are sent, as in federated averaging, persistent under all others."""
    init: Literal["shared", "independent"] = "shared"
    """All clients start from the same weights, or each from its own."""
    threads: int = Field(default=1, ge=1, le=256)
    """Torch threads of one worker. Part of the configuration because sums in another order differ in the last bit."""


class AttackConfig(Part):
    """Who attacks, what it is allowed, and how the answer is scored."""

    attacks: Names = ()
    """Attacks to run: see `fedprivacy list attacks`; all: every one that the protocol allows."""
    adversaries: Names = ()
    """Positions and powers, such as server, active-server, client-0; empty runs the protocol's own default set."""
    statistics: Names = ()
    """Statistics to score with; empty runs all that the references allow."""
    headline: str | None = None
    """Statistic the verdict rests on; left out: joint where candidates are decoded together, else ratio where there are
    references, else loss. stack: all that an adversary has, combined as shadow federations teach."""
    shadows: int = Field(default=0, ge=0, le=10_000)
    """Shadow federations to train; 0 uses the other clients as the only references."""
    targets: Literal["auto", "one", "bank"] = "auto"
    """bank: every shadow federation is a target too, with all others as its references; one: the target federation
    alone; auto: bank with 8 shadows or more."""
    coop: bool = True
    """Let the other clients of the same federation serve as references."""
    combine: Literal["last", "mean", "max"] = "mean"
    """How several observed rounds become one score."""
    schedule: Literal["last", "spread"] = "last"
    """When probes are planted: all in the last round, or over all rounds."""
    planted_share: float = Field(default=1.0, gt=0, le=1)
    """Largest part of a public fold that an active adversary replaces."""
    surrogate_epochs: int = Field(default=100, ge=1, le=MOST)
    """Passes of the surrogate over the collected predictions."""
    surrogate_lr: float = Field(default=1e-3, gt=0)
    """Learning rate (Adam) of the surrogate."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of every interval."""
    effort: Literal["default", "thorough"] = "default"
    """What a joint attack computes: default, few simulations and rounds; thorough, many, as published numbers need."""
    owners: Literal["known", "unknown"] = "known"
    """Whether joint decoding may know whose candidate each is; unknown, all are asked of every client."""
    known_share: float = Field(default=1.0, gt=0, le=1)
    """Share of each client's candidates that the adversary knows, drawn from a named seed; it scores no others."""
    observations: Names = ()
    """Observations to make, such as joint-updates; empty makes all that each adversary can."""
    payloads: Names = ()
    """Payload types from outside that messages of a recording are of; those of a protocol come with it."""
    followed: int | None = Field(default=None, ge=1)
    """Clients that are attacked: the first so many; none: all. What follows one client at a time costs as much each."""
    budget: float | str | None = None
    """What an iterative attack may spend: seconds of processor time, such as 60s or 2m (inversion), or what is the same
    on all machines: steps, such as "400 steps" (inversion, joint decoding of predictions), or the first rounds alone,
    such as "4 rounds" (joint decoding); none: its own number."""
    inversion: InversionConfig = InversionConfig()

    @field_validator("budget", mode="before")
    @classmethod
    def _spelled(cls, budget: Any) -> Any:
        """One form of each, however it was given: ``2m`` is 120 seconds, ``400steps`` is ``400 steps``."""
        if not isinstance(budget, str) or budget == NONE:
            return None if budget == NONE else budget
        if work := WORK.fullmatch(budget):
            return f"{work[1]} {work[2]}s"
        found = TIME.fullmatch(budget)
        if not found:
            raise ValueError(
                f"'{budget}' is not a time such as 60s or 2m, steps such as 400steps, or rounds such as 4rounds"
            )
        return float(found[1]) * SECONDS[found[2].lower()]

    @field_validator("budget")
    @classmethod
    def _spendable(cls, budget: float | str | None) -> float | str | None:
        if isinstance(budget, float) and budget <= 0:
            raise ValueError("a budget of seconds is above 0")
        return budget

    @property
    def seconds(self) -> float | None:
        """The budget in seconds, where it is one."""
        return None if isinstance(self.budget, str) else self.budget

    @property
    def steps(self) -> int | None:
        """The budget in steps, where it is one."""
        return self._work("step")

    @property
    def first_rounds(self) -> int | None:
        """The budget in rounds, where it is one."""
        return self._work("round")

    def _work(self, unit: str) -> int | None:
        found = WORK.fullmatch(self.budget) if isinstance(self.budget, str) else None
        return int(found[1]) if found and found[2] == unit else None


class DefenseConfig(Part):
    """What stands between a client and the wire."""

    name: str = "none"
    """See `fedprivacy list defenses`."""
    epsilon: float | None = Field(default=None, gt=0)
    """Privacy budget of the whole run; the noise is calibrated to it."""
    delta: float = Field(default=1e-5, gt=0, lt=1)
    """Delta of every claim."""
    sigma: float | None = Field(default=None, ge=0)
    """Noise multiplier (standard deviation over sensitivity), instead of epsilon."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the defense itself."""

    @model_validator(mode="after")
    def _one_of(self) -> DefenseConfig:
        if self.epsilon is not None and self.sigma is not None:
            raise ValueError("give epsilon (noise is calibrated) or sigma (epsilon follows), not both")
        return self


class RunConfig(Part):
    """One run: everything that decides its numbers, and nothing that does not."""

    protocol: str = "mutual"
    """See `fedprivacy list protocols`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the protocol itself, such as kl = "literal" for mutual."""
    clients: int = Field(default=5, ge=1, le=1000)
    """Number of clients."""
    rounds: int = Field(default=12, ge=1, le=99_999)
    """Rounds of the federation."""
    participation: float = Field(default=1.0, gt=0, le=1)
    """Share of the clients that takes part in a round."""
    dropout_rate: float = Field(default=0.0, ge=0, lt=1)
    """Probability that a participant drops out mid-round: it trains, but its message never leaves."""
    topology: str = "ring"
    """Who hears whom where there is no server: ring, star, full, random-regular (of degree 4, or random-regular:3), a
    file of edges (two client numbers a line), or edges such as 0-1 1-2."""
    seed: int = Field(default=0, ge=0, lt=2**53)
    """Root of all named seeds."""
    seeds: int = Field(default=1, ge=1, le=10_000)
    """Independent repetitions: roots seed, seed + 1, ..."""
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    attack: AttackConfig = AttackConfig()
    defense: DefenseConfig = DefenseConfig()
    canaries: CanaryConfig = CanaryConfig()

    @model_validator(mode="after")
    def _stops_early(self) -> RunConfig:
        unknown = sorted(set(self.training.augmentation) - {"flip", "shift"})
        if unknown:
            raise ValueError(f"training.augmentation is of flip and shift (got '{unknown[0]}')")
        if self.training.early_stopping is not None:
            if not self.data.validation:
                raise ValueError("training.early_stopping watches a validation part: data.validation must be above 0")
            if self.training.local_steps is not None or self.defense.name == "dp-sgd":
                raise ValueError(
                    "training.early_stopping decides how long a client trains: it goes without local_steps and dp-sgd"
                )
        return self

    @model_validator(mode="after")
    def _fair(self) -> RunConfig:
        if self.training.heads == "own":
            if self.data.partition not in ("shards", "tasks"):
                raise ValueError("training.heads = 'own' needs label sets: data.partition = 'tasks' or 'shards'")
            if self.training.output == "sigmoid" or self.data.warmup or self.defense.name == "dp-sgd":
                raise ValueError(
                    "training.heads = 'own' goes with output = 'softmax', without warm-up records, and with another "
                    "defense than dp-sgd"
                )
        if self.canaries.coins != "record" and self.data.inclusion != 0.5:
            raise ValueError(f"a coin that decides a {self.canaries.coins} is fair: data.inclusion must be 0.5")
        return self

    @field_validator("topology")
    @classmethod
    def _edges(cls, topology: str) -> str:
        """Edges in the place of the file that holds them, so that a run is known by what it was."""
        return read(topology)

    def digest(self) -> str:
        """Twelve hex digits that name this configuration; equal configurations share runs on disk."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
