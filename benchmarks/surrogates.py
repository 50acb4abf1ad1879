"""When would a surrogate stop, and what would it have learned by then? ``python benchmarks/surrogates.py``.

Mutual learning as it is run by default, without any attack; then one surrogate a client is distilled from nine tenths
of its answers, and after some passes its loss on the other tenth is looked at, and the AUC of its log-probabilities of
the labels of that client's candidates. The truth is used for that number alone.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Records
from fedprivacy.training.losses import log_probabilities

PASSES = (2, 3, 5, 5, 5, 10, 10, 20, 40)
"""Between two looks."""
BATCH = 64


def main() -> None:
    torch.set_num_threads(1)
    study = resolve(build(RunConfig, {"protocol": "mutual"}, "surrogates"))
    env, played = study.environment(0)
    done = engine.run(study.protocol, env, None)
    changes = {"optimizer": "adam", "lr": study.attack.surrogate_lr, "batch_size": BATCH}
    bench = env.workbench.with_training(env.settings.training.model_copy(update=changes))
    name, data = env.architecture(0), env.dataset
    for client in range(env.clients):
        sent = [m for m in done.transcript.messages if m.sender == f"client-{client}" and m.receiver == "server"]
        ids = np.concatenate([env.public_ids(message.round) for message in sent])
        answers = torch.cat([done.transcript.payload(message).values for message in sent])
        target = answers.clamp_min(1e-7).log().log_softmax(1)
        order = np.random.default_rng(client).permutation(len(ids))
        held, used = order[: len(ids) // 10], order[len(ids) // 10 :]
        learner = bench.learner(name, bench.initial(name, (0, ("surrogate",))))
        records = Records(data.x_train[ids[used]], np.zeros(len(used), dtype=np.int64))
        own = torch.from_numpy(used)

        def loss(logits: torch.Tensor, _: torch.Tensor, rows: torch.Tensor, of: torch.Tensor = own) -> torch.Tensor:
            wanted = target[of[rows]]  # noqa: B023
            return (wanted.exp() * (wanted - log_probabilities(logits))).sum(1).mean()

        mine = played.owners == client
        pool = played.candidates[mine]
        words, total = [], 0
        for passes in PASSES:
            learner.fit(records, passes, (0, ("surrogate", "fit", total)), loss)
            total += passes
            told = learner.logits(data.x_train[ids[held]])
            rest = float(loss(told, told, torch.arange(len(held)), torch.from_numpy(held)))
            log_p = log_probabilities(learner.logits(data.x_train[pool])).gather(
                1, torch.from_numpy(data.y_train[pool])[:, None]
            )
            words.append(f"{total}: {rest:.3f}, {roc_auc_score(played.flat_coins[mine], log_p[:, 0]):.3f}")
        print(f"client {client}; passes: held-out loss, AUC: " + "; ".join(words), flush=True)


if __name__ == "__main__":
    main()
