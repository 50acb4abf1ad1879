"""Who can do what under every protocol, as it was when this was written: membership | labels | inversion, ``-`` none.

Declarations alone decide it; a change in this table is a change in what is attacked and has to be meant.
"""

from __future__ import annotations

from fedprivacy.adversary.inversion import inversion_source
from fedprivacy.adversary.labels import label_source
from fedprivacy.adversary.observations import observable
from fedprivacy.adversary.seats import default_adversaries, seat
from fedprivacy.adversary.sight import Sight
from fedprivacy.adversary.threat import Adversary
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve

TABLE = """\
mutual: active-server server
  server: joint-predictions surrogate | predictions | predictions
  active-server: joint-probes probes joint-predictions surrogate | predictions | -
  client-0: joint-predictions surrogate | predictions | predictions
  eavesdropper: joint-predictions surrogate | predictions | predictions
fedavg: server client-0
  server: joint-updates uploaded-weights | models | updates
  active-server: traps joint-updates uploaded-weights | models | imprint
  client-0: joint-updates global-model | - | aggregate
  eavesdropper: joint-updates uploaded-weights | models | updates
fedprox: server client-0
  server: joint-updates uploaded-weights | models | updates
  active-server: traps joint-updates uploaded-weights | models | imprint
  client-0: joint-updates global-model | - | aggregate
  eavesdropper: joint-updates uploaded-weights | models | updates
layerwise-async: server client-0
  server: joint-updates uploaded-weights | models | updates
  active-server: traps joint-updates uploaded-weights | models | -
  client-0: joint-updates global-model | - | -
  eavesdropper: joint-updates uploaded-weights | models | updates
fedasync: server client-0
  server: joint-updates uploaded-weights | models | updates
  active-server: traps joint-updates uploaded-weights | models | imprint
  client-0: joint-updates global-model | - | -
  eavesdropper: joint-updates uploaded-weights | models | updates
fedbuff: server client-0
  server: joint-updates decoded-updates | models | updates
  active-server: traps joint-updates decoded-updates | models | imprint
  client-0: joint-updates global-model | - | -
  eavesdropper: joint-updates decoded-updates | models | updates
fml: server client-0
  server: joint-updates uploaded-memes | models | updates
  active-server: traps joint-updates uploaded-memes | models | -
  client-0: joint-updates global-model | - | aggregate
  eavesdropper: joint-updates uploaded-memes | models | updates
fedkd: server client-0
  server: joint-updates decoded-updates | models | updates
  active-server: traps joint-updates decoded-updates | models | -
  client-0: joint-updates global-from-updates | - | aggregate
  eavesdropper: joint-updates decoded-updates | models | updates
fedckd: server client-0
  server: joint-updates uploaded-weights | models | updates
  active-server: traps joint-updates uploaded-weights | models | -
  client-0: joint-updates global-model | - | aggregate
  eavesdropper: joint-updates uploaded-weights | models | updates
fedmd: active-server server
  server: joint-predictions surrogate | predictions | predictions
  active-server: joint-probes probes joint-predictions surrogate | predictions | -
  client-0: surrogate | - | -
  eavesdropper: joint-predictions surrogate | predictions | predictions
ds-fl: active-server server
  server: joint-predictions surrogate | predictions | predictions
  active-server: joint-probes probes joint-predictions surrogate | predictions | -
  client-0: surrogate | - | -
  eavesdropper: joint-predictions surrogate | predictions | predictions
cfd: active-server server
  server: joint-predictions surrogate | predictions | predictions
  active-server: joint-probes probes joint-predictions surrogate | predictions | -
  client-0: surrogate | - | -
  eavesdropper: joint-predictions surrogate | predictions | predictions
feddf: server client-0
  server: joint-updates uploaded-weights | models | updates
  active-server: traps joint-updates uploaded-weights | models | imprint
  client-0: joint-updates global-model | - | -
  eavesdropper: joint-updates uploaded-weights | models | updates
fedproto: server client-0
  server: prototypes | prototypes | -
  active-server: - | prototypes | -
  client-0: prototypes | - | -
  eavesdropper: prototypes | prototypes | -
profe: client-0 eavesdropper
  server: - | - | -
  active-server: - | - | -
  client-0: joint-updates students prototypes | models | -
  eavesdropper: joint-updates students prototypes | models | -
dfedavg: client-0 eavesdropper
  server: - | - | -
  active-server: - | - | -
  client-0: joint-updates students | models | updates
  eavesdropper: joint-updates students | models | updates
gossip-mutual: client-0 eavesdropper
  server: - | - | -
  active-server: - | - | -
  client-0: joint-updates students | models | updates
  eavesdropper: joint-updates students | models | updates
fedkd-hybrid: active-server server
  server: joint-updates joint-predictions surrogate uploaded-weights | predictions | predictions
  active-server: joint-probes probes joint-updates joint-predictions surrogate uploaded-weights | predictions | -
  client-0: joint-updates surrogate global-model | - | -
  eavesdropper: joint-updates joint-predictions surrogate uploaded-weights | predictions | predictions
local: -
  server: - | - | -
  active-server: - | - | -
  client-0: - | - | -
  eavesdropper: - | - | -
central: -
  server: - | - | -
  active-server: - | - | -
  client-0: - | - | -
  eavesdropper: - | - | -
"""


def allowed(sight: Sight) -> str:
    """The three cells of one seat."""
    cells = []
    for asked in (observable, label_source, inversion_source):
        try:
            found = asked(sight)
        except UsageError:
            found = "-"
        cells.append(found if isinstance(found, str) else " ".join(found))
    return " | ".join(cells)


def test_every_seat_under_every_protocol() -> None:
    lines = []
    for name in CARDS:
        wire = resolve(RunConfig(protocol=name)).wire
        lines.append(f"{name}: {' '.join(default_adversaries(wire)) or '-'}")
        for position in ("server", "active-server", "client-0", "eavesdropper"):
            lines.append(f"  {position}: {allowed(seat(Adversary.parse(position), wire))}")
    assert lines == TABLE.splitlines()
