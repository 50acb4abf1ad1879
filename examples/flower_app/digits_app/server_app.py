"""What the server does."""

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits_app.task import GAME, Net
from fedprivacy.flower import recorded  # added

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = recorded(FedAvg(), "recording", GAME, model=Net)  # changed: was FedAvg()
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(Net().state_dict()),
        num_rounds=context.run_config["num-server-rounds"],
    )
