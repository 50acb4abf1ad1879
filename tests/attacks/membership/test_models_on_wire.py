"""Models read off the wire: what is put together equals what the sender had, and nothing is taken from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.adversary.threat import Adversary, View, view_of
from fedprivacy.attacks.membership.models_on_wire import broadcast_models, uploaded_models
from fedprivacy.attacks.membership.observations.weights import ONLY_AGGREGATE, GlobalModel, UploadedWeights
from fedprivacy.federation import engine
from fedprivacy.study.ran import common_start
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Update, Weights
from fedprivacy.wire.transcript import MemoryStore, Transcript


def close(a: Mapping[str, Tensor], b: Mapping[str, Tensor], atol: float = 1e-6) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[n].double(), b[n].double(), atol=atol) for n in a)


def logged(store: MemoryStore, *rounds: Callable[[Channel], None]) -> Transcript:
    messages = []
    for number, said in enumerate(rounds, start=1):
        channel = Channel(number, store)
        said(channel)
        messages += channel.messages
    return Transcript(tuple(messages), (), store)


def one(value: float) -> dict[str, Tensor]:
    return {"w": torch.tensor([value])}


def test_updates_stand_on_what_their_sender_last_received() -> None:
    """Client 0 trains from the start, then from the model it pulled; client 1 pulled nothing."""

    def first(channel: Channel) -> None:
        channel.send("client-0", SERVER, Update(one(1.0)))
        channel.send(SERVER, "client-0", Weights(one(10.0)), "pull")

    def second(channel: Channel) -> None:
        channel.send("client-0", SERVER, Update(one(2.0)))
        channel.send("client-1", SERVER, Update(one(5.0)))

    told = logged(MemoryStore(), first, second)
    found = [(m.round, m.client, float(m.weights["w"])) for m in uploaded_models(told, False, one(100.0))]
    assert found == [(1, 0, 101.0), (2, 0, 12.0), (2, 1, 105.0)]
    newest = [(m.round, m.client, float(m.weights["w"])) for m in uploaded_models(told, True, one(100.0))]
    assert newest == [(2, 0, 12.0), (2, 1, 105.0)]
    assert all(not m.weights for m in uploaded_models(told, True) if m.client == 1)


def test_broadcast_updates_add_up() -> None:
    def said(channel: Channel) -> None:
        channel.send(SERVER, ["client-0", "client-1"], Update(one(1.0)), "global")

    told = logged(MemoryStore(), said, said, said)
    found = [(m.round, float(m.weights["w"])) for m in broadcast_models(told, False, "client-1", one(4.0))]
    assert found == [(1, 5.0), (2, 6.0), (3, 7.0)]
    assert [m.round for m in broadcast_models(told, True, None, one(4.0))] == [3]
    assert not list(broadcast_models(told, True, "client-7", one(4.0)))


def test_a_client_that_was_silent_in_the_last_round_is_known_by_its_newest_model() -> None:
    told = logged(
        MemoryStore(),
        lambda c: [c.send(client_name(k), SERVER, Weights(one(float(k)))) for k in range(2)],  # type: ignore[arg-type, return-value]
        lambda c: c.send("client-1", SERVER, Weights(one(9.0))),  # type: ignore[arg-type, return-value]
    )
    assert {m.client: float(m.weights["w"]) for m in uploaded_models(told, True)} == {0: 0.0, 1: 9.0}


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("fedavg", {}),
        ("fml", {}),
        ("fedkd", {"energy_start": 1.0, "energy_end": 1.0}),
        ("fedkd", {}),
        ("fedbuff", {"buffer": 2}),
        ("fedasync", {}),
        ("profe", {}),
    ],
)
def test_what_is_put_together_is_what_the_clients_had(
    protocol: str, options: dict[str, Any], small_config: Callable[..., Any], tmp_path: Path
) -> None:
    """The last round is played again with a channel that keeps what was sent before any encoding."""
    config = small_config(protocol=protocol, options=options, rounds=3)
    env, _ = resolve(config).environment(0)
    made = resolve(config).protocol
    done = engine.run(made, env, tmp_path)
    start = common_start(made, env)
    found = {m.client: m for m in uploaded_models(done.transcript, True, start)}
    assert set(found) == {0, 1, 2}
    names = {resolve(config).wire.travelling(client) for client in range(3)}
    assert names == {"mlp"}
    assert all(set(m.weights) == set(env.workbench.module("mlp").state_dict()) for m in found.values())
    if protocol == "fedbuff":
        sent = [m for m in done.transcript.messages if m.kind == "update" and m.sender == "client-0"]
        assert found[0].round == 3 and sent
        return
    if protocol == "profe":
        student = found[0].weights
        assert student["head.weight"].dtype == torch.float16
        return
    if protocol == "fedkd":
        mean = {
            name: torch.stack([m.weights[name].double() for m in found.values()]).mean(0) for name in found[0].weights
        }
        (final,) = broadcast_models(done.transcript, True, "client-0", start)
        assert close(final.weights, done.state.parts["server/model"])
        loss = 1e-5 if options else 0.2
        assert close(mean, final.weights, loss)
        return
    (final,) = broadcast_models(done.transcript, True, "client-2", start)
    if protocol == "fedasync":
        return
    shares = [len(env.private(k, 3)) for k in range(3)] if protocol == "fedavg" else [1, 1, 1]
    for name, tensor in final.weights.items():
        mean_of = sum(s * found[k].weights[name].double() for k, s in enumerate(shares)) / sum(shares)
        assert torch.allclose(mean_of, tensor.double(), atol=1e-6)


def seen_by(name: str, told: Transcript) -> View:
    return view_of([told], Adversary.parse(name))


def test_masked_uploads_leave_the_aggregate_alone(hand_made: Callable[..., Any]) -> None:
    made = hand_made(10)
    weights = made.bench.initial("mlp", (0, ("test",)))
    told = logged(
        made.store,
        lambda c: c.send(SERVER, ["client-0", "client-1"], Weights(weights), "global"),  # type: ignore[arg-type, return-value]
    )
    observed = UploadedWeights().observe(seen_by("server", told), made.knowledge)
    assert observed.logp.shape[0] == 1 and observed.seen.all() and observed.notes == (ONLY_AGGREGATE,)


def test_a_peer_at_its_own_speed_is_a_reference_in_rounds_in_which_it_sent_nothing(
    hand_made: Callable[..., Any],
) -> None:
    """Its newest model stands for it, and before the first one that; what comes in groups counts once it is whole."""
    made = hand_made(10)
    models = [made.bench.initial("mlp", (seed, ("test",))) for seed in range(5)]
    part = Weights({"head.bias": models[0]["head.bias"]})

    def round_of(own: Weights | None, news: Weights) -> Callable[[Channel], None]:
        def said(channel: Channel) -> None:
            if own is not None:
                channel.send("client-0", SERVER, own)
            channel.send(SERVER, ["client-0", "client-1"], news, "global")

        return said

    rounds = ((part, models[1]), (Weights(models[2]), models[1]), (None, models[3]))
    told = logged(made.store, *(round_of(own, Weights(news)) for own, news in rounds))
    observed = GlobalModel().observe(seen_by("client-0", told), made.knowledge)
    assert observed.reference_logp is not None and observed.reference_logp.shape[1] == 3
    assert not np.isnan(observed.reference_logp).any()
    for number in (1, 2):
        np.testing.assert_array_equal(observed.reference_logp[0, 0], observed.reference_logp[0, number])


def test_a_peers_own_model_is_a_reference_for_the_others(hand_made: Callable[..., Any]) -> None:
    made = hand_made(10)
    mine, everybodys = (made.bench.initial("mlp", (seed, ("test",))) for seed in range(2))

    def said(channel: Channel) -> None:
        channel.send("client-0", SERVER, Weights(mine))
        channel.send(SERVER, ["client-0", "client-1"], Weights(everybodys), "global")

    told = logged(made.store, said)
    observed = GlobalModel().observe(seen_by("client-0", told), made.knowledge)
    assert observed.reference_logp is not None and observed.reference_population_logp is not None
    x = made.knowledge.dataset.x_train[made.candidates]
    for logp, weights in ((observed.logp, everybodys), (observed.reference_logp, mine)):
        logits = made.bench.logits("mlp", weights, x).double()
        np.testing.assert_allclose(logp[0, 0], torch.log_softmax(logits, 1).numpy(), atol=1e-6)
    stranger = GlobalModel().observe(seen_by("client-1", told), made.knowledge)
    assert stranger.reference_logp is None
