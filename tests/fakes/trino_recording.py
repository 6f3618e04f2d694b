"""Records what a real Trino answers to the statements of the engine contract, for tests.fakes.trino to play.

python -m tests.fakes.trino_recording http://127.0.0.1:8080
"""

from __future__ import annotations

import json
import sys
from typing import Any

import httpx

from tests.contract.engine import STATEMENTS
from tests.fakes.trino import RECORDED

_HEADERS = {
    "X-Trino-User": "data-hist",
    "X-Trino-Catalog": "memory",
    "X-Trino-Schema": "default",
    "X-Trino-Time-Zone": "UTC",
    "X-Trino-Client-Capabilities": "NUMBER,PARAMETRIC_DATETIME,SESSION_AUTHORIZATION",
}


def recorded(client: httpx.Client, sql: str) -> list[dict[str, Any]]:
    """The answers of a statement's GETs, without what differs from run to run."""
    answers = []
    told = client.post("/v1/statement", content=sql.encode(), headers=_HEADERS).json()
    while "nextUri" in told:
        told = client.get(told["nextUri"], headers=_HEADERS).json()
        answer = {key: told[key] for key in ("columns", "data", "error") if key in told}
        answer.get("error", {}).pop("failureInfo", None)  # a stack
        answer["state"] = told["stats"]["state"]
        if not answers or answer != answers[-1]:
            answers.append(answer)
    return answers


def main(url: str) -> None:
    """Writes the recording."""
    with httpx.Client(base_url=url, timeout=60) as client:
        version = client.get("/v1/info").json()["nodeVersion"]["version"]
        statements = {sql: recorded(client, sql) for sql in STATEMENTS}
    text = json.dumps({"trino": version, "statements": statements}, ensure_ascii=False, separators=(",", ":"))
    RECORDED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
