"""What SQLAlchemy's inspector and asyncpg find on a server with keys: one line of JSON for the test that runs this."""

import asyncio
import datetime
import json
import ssl
import sys

import asyncpg
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select

host, port, user, password, certificate = sys.argv[1:]
found = {}

engine = create_engine(
    f"postgresql+psycopg://{user}:{password}@{host}:{port}/default",
    connect_args={"sslmode": "verify-full", "sslrootcert": certificate},
)
inspector = inspect(engine)
found["schemas"] = inspector.get_schema_names()
found["tables"] = sorted(inspector.get_table_names())
found["view"] = "model_calls" in inspector.get_view_names()
found["defined"] = bool(inspector.get_view_definition("model_calls"))
found["types"] = {
    column["name"]: str(column["type"])
    for column in inspector.get_columns("charges")
    if column["name"] in ("date", "start_time", "duration_ns", "agent_name", "cost_usd", "escalated")
}
found["nothing"] = [
    inspector.get_pk_constraint("charges")["constrained_columns"],
    inspector.get_foreign_keys("charges"),
    inspector.get_indexes("charges"),
    inspector.get_unique_constraints("charges"),
    inspector.get_check_constraints("charges"),
    inspector.get_enums(),
    inspector.get_domains(),
    inspector.get_sequence_names(),
]
found["has"] = [inspector.has_table("charges"), inspector.has_table("nothing")]
everything = MetaData()
everything.reflect(bind=engine, views=True)
found["all"] = sorted(everything.tables) == sorted(inspector.get_table_names() + inspector.get_view_names())
calls = Table("model_calls", MetaData(), autoload_with=engine)
with engine.connect() as connection:
    cost = connection.execute(select(func.sum(calls.c.cost_usd))).scalar_one()
    escaped = connection.execute(
        select(func.count()).where(calls.c.agent_name.startswith("support-", autoescape=True))
    ).scalar_one()
    plain = connection.execute(select(func.count()).where(calls.c.agent_name.like("support-%"))).scalar_one()
found["cost"], found["escape"] = str(cost), escaped == plain > 0


async def ask():
    context = ssl.create_default_context(cafile=certificate)
    address = {"host": host, "port": int(port), "user": user, "password": password, "database": "default", "ssl": context}
    async with asyncpg.create_pool(**address, min_size=1, max_size=2) as pool:
        since = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
        count = "SELECT count(*) FROM model_calls WHERE start_time > $1 AND agent_name = ANY($2)"
        agents = [row["agent_name"] for row in await pool.fetch("SELECT DISTINCT agent_name FROM model_calls")]
        found["any"] = [await pool.fetchval(count, since, names) > 0 for names in (agents, ["nobody"])]
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            spans = [row async for row in connection.cursor("SELECT * FROM spans", prefetch=50)]
        found["cursor"] = len(spans) == await pool.fetchval("SELECT count(*) FROM spans")
        try:
            await pool.execute("DROP TABLE charges")
        except asyncpg.PostgresError as error:
            found["drop"] = error.sqlstate


asyncio.run(ask())
print(json.dumps(found))
