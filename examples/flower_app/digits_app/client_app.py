"""What a node does."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits_app.task import GAME, Net, test, train
from fedprivacy.flower import partition  # added

app = ClientApp()


@app.train()
def fit(message: Message, context: Context) -> Message:
    net = Net()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    x, y = partition(GAME, message)  # changed: was load_data(context.node_config["partition-id"])
    metrics = {"train_loss": train(net, x, y), "num-examples": len(x)}
    content = {"arrays": ArrayRecord(net.state_dict()), "metrics": MetricRecord(metrics)}
    return Message(RecordDict(content), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    net = Net()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    x, y = GAME.test()
    metrics = {"accuracy": test(net, x, y), "num-examples": len(x)}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
