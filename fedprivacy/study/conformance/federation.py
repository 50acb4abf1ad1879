"""What a protocol promises, be it a class or a function: the same run each time, and all of it declared."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import FederatedProtocol, RunsWhole
from fedprivacy.study.conformance import payload
from fedprivacy.study.conformance.checked import Look, hold
from fedprivacy.wire.inferred import release_name
from fedprivacy.wire.parties import SERVER, client_index, client_name
from fedprivacy.wire.release import Release, of_clients


@dataclass(frozen=True, eq=False)
class Stage:
    """A protocol with the environment that it is tried in."""

    protocol: FederatedProtocol
    env: Environment
    releases: tuple[Release, ...]


def looks(stage: Stage, other: Stage) -> Iterator[tuple[str, Look]]:
    """The properties of a protocol; ``other`` is the same with another seed."""
    protocol, env = stage.protocol, stage.env
    done: list[engine.Federation] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        def runs() -> str:
            done.append(engine.run(protocol, env, place / "first"))
            sent = done[0].transcript.messages
            hold(bool(sent), "nothing crossed the wire")
            size = sum(message.encoded_bytes for message in sent)
            return f"{len(sent)} messages, {size:,} bytes in {env.rounds} rounds of {env.clients} clients"

        def again() -> str:
            with torch.random.fork_rng():
                torch.randn(17)  # the global stream decides nothing
                second = engine.run(protocol, env, place / "second")
            first = done[0]
            hold(
                first.transcript.messages == second.transcript.messages
                and _digest(first.state) == _digest(second.state),
                "two runs of the same seed differ: take randomness from env and seeds, or from game.generator(...)",
            )
            return ""

        def seeded() -> str:
            second = engine.run(other.protocol, other.env, place / "other")
            hold(_digest(second.state) != _digest(done[0].state), "another seed gives the same models")
            return ""

        def goes_on() -> str:
            if isinstance(protocol, RunsWhole):
                return "it runs as a whole, so a run that was killed begins again"

            class Stop(BaseException):
                """The process dies after round 1."""

            def die(number: int) -> None:
                if number == 1:
                    raise Stop

            with contextlib.suppress(Stop):
                engine.run(protocol, env, place / "killed", progress=die)
            resumed = engine.run(protocol, env, place / "killed")
            hold(_digest(resumed.state) == _digest(done[0].state), "a run that goes on after a kill ends elsewhere")
            return ""

        def plain() -> str:
            for part, content in done[0].state.parts.items():
                for name, tensor in content.items():
                    hold(isinstance(tensor, Tensor), f"state {part} holds {name}, which is no tensor")
                    hold(not tensor.requires_grad, f"state {part} holds {name} with a gradient; detach it")
                    hold(bool(torch.isfinite(tensor.double()).all()), f"state {part} holds {name}, which is not finite")
            return ""

        def tested() -> str:
            models = protocol.models(done[0].state, env)
            hold(bool(models), "models() gives none to test")
            for owner, (architecture, weights) in models.items():
                shape = tuple(env.workbench.logits(architecture, weights, env.dataset.x_test[:5]).shape)
                hold(shape[0] == 5, f"the model of {owner} answers 5 records with {list(shape)}")
            return ", ".join(models)

        def declared() -> str:
            told = {release.name for release in of_clients(stage.releases)}
            sent = {release_name(m) for m in done[0].transcript.messages if m.sender != SERVER}
            hold(sent <= told, f"clients send {', '.join(sorted(sent - told))}, which releases() does not declare")
            hold(told <= sent, f"releases() declares {', '.join(sorted(told - sent))}, which clients never send")
            return ", ".join(sorted(told))

        def counted() -> str:
            sent = {(client_index(m.sender), m.round) for m in done[0].transcript.messages if m.sender != SERVER}
            events = {(event.client, event.round) for event in done[0].events}
            hold(
                sent <= events, f"{len(sent - events)} messages of clients have no privacy event: return one a release"
            )
            return ""

        def parties() -> str:
            there = {SERVER, *map(client_name, range(env.clients))}
            odd = {m.receiver for m in done[0].transcript.messages} | {m.sender for m in done[0].transcript.messages}
            hold(odd <= there, f"messages name {', '.join(sorted(odd - there))}")
            return ""

        yield "it runs", runs
        yield "the same seed gives the same bits", again
        yield "another seed gives another run", seeded
        yield "it goes on after a kill", goes_on
        yield "its state is plain finite tensors", plain
        yield "its models can be tested", tested
        yield "what clients send is declared", declared
        yield "what clients send is counted for privacy", counted
        yield "its payloads can be opened", lambda: payload.hold_all(done[0].transcript)
        yield "messages go between parties that exist", parties


def _digest(state: Any) -> str:
    found = hashlib.sha256(str(state.round).encode())
    for part, content in sorted(state.parts.items()):
        for name, tensor in sorted(content.items()):
            found.update(f"{part}/{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()
