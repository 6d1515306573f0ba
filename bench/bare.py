"""The physical limits, on bare aiohttp + uvloop.

Of /api/auth/me: one asyncpg `fetchrow` of the same row, the same JSON. Of /api/auth/verify: an empty 204.
"""

import asyncio
import sys

import asyncpg
import orjson
import uvloop
from aiohttp import web

QUERY = "select public_id, email, created_at, updated_at from users where public_id = $1"


async def application(dsn: str, public_id: str) -> web.Application:
    """Return the application."""
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=10)

    async def me(_request: web.Request) -> web.Response:
        row = await pool.fetchrow(QUERY, public_id)
        if row is None:
            raise web.HTTPNotFound
        body = {
            "id": str(row["public_id"]),
            "email": row["email"],
            "created_at": row["created_at"].isoformat(),
            "updated_at": row["updated_at"].isoformat(),
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/me", me)
    app.router.add_get("/204", nothing)
    return app


async def main(dsn: str, public_id: str, port: str) -> None:
    """Serve until killed."""
    runner = web.AppRunner(await application(dsn, public_id), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main(*sys.argv[1:]))
