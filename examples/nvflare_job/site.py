"""What a site does: receive, train, send back."""

import nvflare.client as flare
import torch
from task import GAME, Net, train

flare.init()
client = int(flare.get_site_name().removeprefix("site-")) - 1
while flare.is_running():
    held = flare.receive()
    net = Net()
    net.load_state_dict({name: torch.as_tensor(array) for name, array in held.params.items()})
    x, y = GAME.private(client)
    train(net, x, y)
    flare.send(flare.FLModel(params=net.state_dict()))
