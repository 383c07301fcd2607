"""The functions that a server has: listed page by page, of one name, over a restart."""

from typing import Any, Dict, List
from urllib.parse import quote

import pytest
import workload
from conftest import ServerMaker
from harness import Client


def pages(client: Client, target: str) -> List[List[Dict[str, Any]]]:
    """All pages, each reached by the Link of the one before."""
    found = []
    while target:
        answer = client.get(target)
        assert answer.status == 200, answer
        found.append(answer.json["items"])
        link = answer.headers.get("link", "")
        assert bool(link) == bool(answer.json["next_cursor"])
        assert not link or link.endswith('>; rel="next"')
        target = link[1:link.index(">")] if link else ""
    return found


@pytest.mark.smoke
def test_functions_are_listed_page_by_page(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    odd = "odd & <lambda>"
    ids = [server.client.register(function, name=name)
           for function, name in ((workload.echo, "even"), (workload.add, odd),
                                  (workload.add, "even"))]
    for _ in range(2):
        listed = pages(server.client, "/v1/functions?limit=2")
        assert [len(page) for page in listed] == [2, 1]
        assert [f["id"] for page in listed for f in page] == ids, "in the order of registration"
        assert [f["name"] for page in listed for f in page] == ["even", odd, "even"]
        assert listed[0][0] == server.client.good("GET", f"/v1/functions/{ids[0]}")
        even = pages(server.client, "/v1/functions?limit=1&name=even")
        assert [[f["id"] for f in page] for page in even] == [[ids[0]], [ids[2]]]
        assert pages(server.client, f"/v1/functions?name={quote(odd)}") == [listed[0][1:]]
        assert pages(server.client, "/v1/functions?name=nobody") == [[]]
        server.restart()


def test_what_registers_meanwhile_comes_last(make_server: ServerMaker) -> None:
    client = make_server(slots=0).client
    first = [client.register(workload.add, name=f"f{n}") for n in range(3)]
    page = client.good("GET", "/v1/functions?limit=2")
    later = client.register(workload.add, name="later")
    rest = client.good("GET", f"/v1/functions?cursor={page['next_cursor']}")
    assert [f["id"] for f in page["items"] + rest["items"]] == [*first, later]
    assert rest["next_cursor"] is None
