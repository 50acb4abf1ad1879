"""Protocols that must fall together: special cases of one are another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.payloads import Prototypes

Part = Mapping[str, torch.Tensor]
MakeWorld = Callable[..., Any]
WHOLE = {"batch_size": 100}
"""Whole batches: the order of a client's records does not matter."""
SGD = {"optimizer": "sgd", "lr": 0.1}


def close(a: Part, b: Part, atol: float = 1e-6) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=atol)


def equal(a: Part, b: Part) -> None:
    close(a, b)
    assert all(torch.equal(a[name], b[name]) for name in a)


def final(world: Any) -> Mapping[str, Part]:
    return world.run().state.parts  # type: ignore[no-any-return]


@pytest.mark.parametrize("weighting", ["records", "uniform"])
def test_averaging_identical_clients_is_the_identity(weighting: str, world: MakeWorld) -> None:
    here = world("fedavg", {"weighting": weighting}, sizes=(9, 9, 9), same=True, training=WHOLE, rounds=1)
    done = here.run()
    uploads = [
        done.transcript.payload(m) for m in done.transcript.messages if m.sender != SERVER and m.kind == Weights.kind
    ]
    assert len(uploads) == 3
    for upload in uploads:
        assert isinstance(upload, Weights)
        close(done.state.parts["server/model"], upload.tensors)


def test_fedavg_of_one_client_is_central_training(world: MakeWorld) -> None:
    one = final(world("fedavg", sizes=(11,), training=WHOLE))
    close(one["server/model"], final(world("central", sizes=(11,), training=WHOLE))["client-0/model"])


def test_fedavg_of_one_client_is_local_training(world: MakeWorld) -> None:
    equal(final(world("fedavg", sizes=(11,)))["server/model"], final(world("local", sizes=(11,)))["client-0/model"])


def test_fedprox_without_its_term_is_fedavg(world: MakeWorld) -> None:
    equal(final(world("fedprox", {"mu": 0.0}))["server/model"], final(world("fedavg"))["server/model"])


def test_the_proximal_term_holds_clients_back(world: MakeWorld) -> None:
    def moved(mu: float) -> float:
        here = world("fedprox", {"mu": mu}, rounds=1, training={**SGD, "local_epochs": 5})
        start, end = here.protocol.init(here.env).state.parts["server/model"], final(here)["server/model"]
        return float(sum((end[n] - start[n]).square().sum() for n in start))

    assert moved(5.0) < moved(1.0) < moved(0.0)


def test_stragglers_do_less_and_count_all_the_same(world: MakeWorld) -> None:
    here = world("fedprox", {"stragglers": 1.0}, rounds=4, training={"local_epochs": 6})
    done = here.run()
    passes = [sum(r.round == t and r.client == c for r in done.history) for t in range(1, 5) for c in range(3)]
    assert all(1 <= number <= 6 for number in passes)
    assert len(set(passes)) > 1
    uploads = [m for m in done.transcript.messages if m.sender != SERVER and m.kind == Weights.kind]
    assert len(uploads) == 12


def test_fedckd_without_teachers_is_fedavg(world: MakeWorld) -> None:
    alone = final(world("fedckd", {"history_weight": 0.0, "global_weight": 0.0}))
    equal(alone["server/model"], final(world("fedavg"))["server/model"])


def test_fedckd_has_no_personal_teacher_in_a_first_round(world: MakeWorld) -> None:
    with_history = final(world("fedckd", {"history_weight": 5.0}, rounds=1))
    without = final(world("fedckd", {"history_weight": 0.0}, rounds=1))
    equal(with_history["server/model"], without["server/model"])
    later = final(world("fedckd", {"history_weight": 5.0}, rounds=2))
    other = final(world("fedckd", {"history_weight": 0.0}, rounds=2))
    assert not torch.equal(later["server/model"]["head.weight"], other["server/model"]["head.weight"])


def test_fml_on_labels_alone_is_local_training_and_fedavg_of_memes(world: MakeWorld) -> None:
    changes = {"training": {"optimizer_state": "fresh"}}
    both = final(world("fml", {"alpha": 1.0, "beta": 1.0}, **changes))
    apart = final(world("local", **changes))
    for client in range(3):
        equal(both[f"client-{client}/model"], apart[f"client-{client}/model"])
    equal(both["server/model"], final(world("fedavg", {"weighting": "uniform"}, **changes))["server/model"])


def test_fedproto_without_its_term_is_local_training(world: MakeWorld) -> None:
    both, apart = final(world("fedproto", {"prototype_weight": 0.0})), final(world("local"))
    for client in range(3):
        equal(both[f"client-{client}/model"], apart[f"client-{client}/model"])


def test_one_client_agrees_with_itself(world: MakeWorld) -> None:
    """A consensus of one has no gradient, so what is left is local training."""
    apart = final(world("local", sizes=(11,), training=SGD))["client-0/model"]
    for name, options in (
        ("fedmd", {"transfer_epochs": 0, "last_revisit": False, "digest": "mse"}),
        ("ds-fl", {"aggregation": "sa"}),
        ("fedkd-hybrid", {}),
        ("mutual", {"public_labels": False}),
    ):
        close(final(world(name, options, sizes=(11,), training=SGD))["client-0/model"], apart, atol=1e-5)


def test_profe_alone_sends_nothing(world: MakeWorld) -> None:
    assert not world("profe", sizes=(11,)).run().transcript.messages


def test_identical_clients_have_a_consensus_equal_to_each_vector(world: MakeWorld) -> None:
    for name, options in (("fedmd", {"transfer_epochs": 0}), ("ds-fl", {"aggregation": "sa"}), ("fedkd-hybrid", {})):
        here = world(name, options, sizes=(9, 9, 9), same=True, training=WHOLE, rounds=1)
        done = here.run()
        messages = [m for m in done.transcript.messages if m.kind == "predictions"]
        values = [done.transcript.payload(m).values for m in messages]
        assert len(values) == 6
        for value in values[1:]:
            torch.testing.assert_close(value, values[0], rtol=1e-5, atol=1e-6)


def test_at_full_energy_the_mentee_is_what_was_trained(world: MakeWorld) -> None:
    """One client, every singular value: nothing is lost on either way."""
    full = {"energy_start": 1.0, "energy_end": 1.0}
    whole = final(world("fedkd", full, sizes=(11,)))
    with_feedback = final(world("fedkd", {**full, "error_feedback": True}, sizes=(11,)))
    close(whole["server/model"], with_feedback["server/model"])
    rough = {"energy_start": 0.3, "energy_end": 0.3}
    lossy = final(world("fedkd", rough, sizes=(11,), training={"model": "line"}))
    exact = final(world("fedkd", full, sizes=(11,), training={"model": "line"}))
    assert not torch.allclose(lossy["server/model"]["hidden.weight"], exact["server/model"]["hidden.weight"], atol=1e-3)


def test_error_feedback_keeps_what_a_compression_lost(world: MakeWorld) -> None:
    here = world("fedkd", {"energy_start": 0.3, "energy_end": 0.3, "error_feedback": True}, rounds=1, sizes=(11,))
    parts = final(here)
    start = here.protocol.init(here.env).state.parts["server/model"]
    lost_up, lost_down = parts["client-0/residual"], parts["server/residual"]
    trained = {n: parts["server/model"][n] + lost_down[n] + lost_up[n] for n in start}
    exact = final(world("fedkd", {"energy_start": 1.0, "energy_end": 1.0}, rounds=1, sizes=(11,)))["server/model"]
    close(trained, exact, atol=1e-5)


def test_fedbuff_with_a_full_buffer_in_step_is_uniform_fedavg(world: MakeWorld) -> None:
    options = {"buffer": 3, "speeds": "equal", "server_lr": 1.0, "server_momentum": 0.0}
    close(
        final(world("fedbuff", options))["server/model"],
        final(world("fedavg", {"weighting": "uniform"}))["server/model"],
    )


def test_fedasync_of_one_client_is_local_training(world: MakeWorld) -> None:
    options = {"alpha": 1.0, "staleness": "constant", "rho": 0.0}
    alone = final(world("fedasync", options, sizes=(11,)))
    equal(alone["server/model"], final(world("local", sizes=(11,)))["client-0/model"])


def test_quantised_students_average_like_exact_ones_up_to_16_bits(world: MakeWorld) -> None:
    short, exact = final(world("profe", rounds=1)), final(world("profe", {"transport_bits": 32}, rounds=1))
    close(short["client-0/student"], exact["client-0/student"], atol=2e-3)
    assert not torch.equal(short["client-0/student"]["head.weight"], exact["client-0/student"]["head.weight"])


def test_a_full_topology_ends_in_one_student(world: MakeWorld) -> None:
    parts = final(world("profe", {"transport_bits": 32}, topology="full", sizes=(8, 8, 8, 8), rounds=1))
    for peer in range(1, 4):
        close(parts["client-0/student"], parts[f"client-{peer}/student"])
        close(parts["client-0/prototypes"], parts[f"client-{peer}/prototypes"])


def test_fedproto_counts_are_sent_only_when_asked_for(world: MakeWorld) -> None:
    for weighting, expected in (("uniform", False), ("counts", True)):
        done = world("fedproto", {"weighting": weighting}).run()
        for message in done.transcript.messages:
            payload = done.transcript.payload(message)
            assert isinstance(payload, Prototypes)
            assert bool(len(payload.counts)) == (expected and message.sender != SERVER)
