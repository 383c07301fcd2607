"""Workers in network namespaces of their own, at the end of a cable (netns.py) that is pulled out
or carries one way only. Beyond loopback everything is encrypted. Needs root; says so where it is
not there."""

from pathlib import Path
from typing import Dict, Iterator

import pytest
from conftest import ServerMaker, WorkerMaker
from harness import Server
from keys import new_key
from netns import Cable, Network, NoNetwork
from trial import LABEL, SILENT, Fault, Lane, survive

PORT = 5555  # there is nobody else in there

EACH: Dict[str, Fault] = {
    "pulled-far": Fault(Cable.pull_far, SILENT),
    "pulled-near": Fault(Cable.pull_near, SILENT),
    "lost-up": Fault(Cable.lose_up, SILENT),
    "lost-down": Fault(Cable.lose_down, SILENT),
    "lost-address": Fault(Cable.lose_address, SILENT),
}


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        made = Network(len(EACH))
    except NoNetwork as why:
        pytest.skip(str(why))
    with made:
        yield made


@pytest.fixture
def server(network: Network, make_server: ServerMaker) -> Server:
    return make_server("--bind", f"tcp://0.0.0.0:{PORT}", slots=0, wrapper=network.server.enter,
                       dial=network.server.dial)


def test_each_fault_of_a_network_is_survived(server: Server, network: Network,
                                             make_worker: WorkerMaker, tmp_path: Path) -> None:
    lanes = []
    for name, cable in zip(EACH, network.cables):
        worker = make_worker(f"tcp://{cable.server_address}:{PORT}", "--label", f"{LABEL}={name}",
                             *new_key(server.data, name, tmp_path), slots=1, start=False,
                             wrapper=cable.inside.enter)
        worker.launch()
        lanes.append(Lane(cable, worker, 1))
    survive(server, EACH, lanes, tmp_path)
