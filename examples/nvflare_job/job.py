"""Federated averaging on NVFlare's simulator, recorded by ``fedprivacy.record``. Run it with ``python job.py``."""

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.base_fedavg import BaseFedAvg
from nvflare.job_config.api import FedJob
from nvflare.job_config.script_runner import ScriptRunner

import fedprivacy


class Averaging(BaseFedAvg):
    """The server's loop; four lines of it say what crosses."""

    def run(self):
        from task import GAME, Net

        shared = {name: t.numpy() for name, t in Net().state_dict().items()}
        with fedprivacy.record("recording", GAME, model=Net) as wire:
            wire.started(shared)
            for t in range(1, self.num_rounds + 1):
                sites = self.sample_clients(self.num_clients)
                replies = self.send_model_and_wait(targets=sites, data=FLModel(params=shared, current_round=t))
                for reply in sorted(replies, key=lambda r: r.meta["client_name"]):
                    client = int(reply.meta["client_name"].removeprefix("site-")) - 1
                    wire.sent(t, f"client-{client}", "server", weights=reply.params)
                shared = {name: np.mean([r.params[name] for r in replies], axis=0) for name in shared}
                wire.sent(t, "server", wire.everyone, weights=shared)


if __name__ == "__main__":
    job = FedJob(name="recorded")
    job.to(Averaging(num_clients=3, num_rounds=3), "server")
    for k in range(3):
        job.to(ScriptRunner(script="site.py"), f"site-{k + 1}")
    job.simulator_run("workspace", threads=1)
