"""The physical limit of a refresh: the UPDATE of one account's sessions through asyncpg's pool, and nothing else."""

import asyncio
import sys
import time
from uuid import UUID

import asyncpg
import uvloop

UPDATE = "update sessions set counter = counter + 1, last_used_at = $2 where id = $1 returning counter"
CLIENTS, POOL_SIZE = 32, 10


async def main(dsn: str, session_id: str, seconds: str) -> None:
    """Print updates in a second."""
    pool = await asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE)
    subject = await pool.fetchval("select subject from sessions where id = $1", UUID(session_id))
    rows = await pool.fetch("select id, last_used_at from sessions where subject = $1", subject)
    end = time.perf_counter() + float(seconds)

    async def client(number: int) -> int:
        count = 0
        while time.perf_counter() < end:
            row = rows[(number + count * CLIENTS) % len(rows)]
            await pool.fetchrow(UPDATE, row["id"], row["last_used_at"])
            count += 1
        return count

    started = time.perf_counter()
    counts = await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    print(sum(counts) / (time.perf_counter() - started))
    await pool.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main(*sys.argv[1:]))
