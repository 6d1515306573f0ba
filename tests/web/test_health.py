"""The admin port: /livez, /readyz and /metrics."""

from authsvc.app import Service
from authsvc.events import OPERATOR
from authsvc.store.database import Database
from tests.conftest import Client


async def test_probes_tell_whether_it_lives_and_whether_to_send_requests(
    service: Service, admin: Client, database: Database
) -> None:
    """MET-06."""
    assert await _probe(admin, "/livez") == (200, "alive")
    assert await _probe(admin, "/readyz") == (200, "ready")
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("delete from _yoyo_migration")
    status, behind = await _probe(admin, "/readyz")
    assert (status, behind == "ready") == (503, False)
    service.readiness.draining = True
    assert (await _probe(admin, "/readyz"))[0] == 503
    assert await _probe(admin, "/livez") == (200, "alive")


async def _probe(admin: Client, path: str) -> tuple[int, str]:
    response = await admin.get(path)
    return response.status, (await response.json())["status"]


async def test_metrics_count_requests_by_route_and_never_by_what_was_asked_for(client: Client, admin: Client) -> None:
    """MET-01."""
    for path in ("/secret-path", "/another"):
        await client.get(path)
    await client.request("MKCOL", "/login")
    response = await admin.get("/metrics")
    text = await response.text()
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'authsvc_http_requests_total{method="GET",route="unmatched",status="4xx"} 2' in text
    assert 'authsvc_http_requests_total{method="other",route="unmatched",status="4xx"} 1' in text
    assert "secret-path" not in text
