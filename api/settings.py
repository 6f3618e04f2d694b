"""Settings of the service: environment variables `DATA_HIST_*`, read once at start, checked, then handed in.

The class `Settings` is the whole truth: docs/configuration.md lists the same names, defaults and meanings, and a
test holds the two equal. A bad value stops the start with a sentence that names the variable; nothing falls back in
silence.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service.managed_secrets import PREFIX as PREFIX_OF_REFERENCES
from service.managed_secrets import SecretReference

PREFIX = "DATA_HIST_"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(ValueError):
    """One or more settings can't be used; the text has a line for each."""


def _whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    return read


def _switch(text: str) -> bool:
    known = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError("must be on or off")
    return known[text.lower()]


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return read


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("must be a folder's path")
    return Path(text)


def _host(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z_.:-]{1,253}", text):
        raise ValueError("must be an address or a host name, such as 127.0.0.1")
    return text


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text):
        raise ValueError("must be the name of a bucket")
    return text


def _s3_location(text: str) -> str:
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([^\s?#]*/)?", text):
        raise ValueError("must be a location such as s3://bucket/prefix/, with the slash at its end")
    return text


def _work_group(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,128}", text):  # Athena API reference, WorkGroupName
        raise ValueError("must be the name of a work group")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be http://host:port or https://host:port, with no user in it")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must have no path")
    return text.rstrip("/")


def _properties(text: str) -> Mapping[str, str]:
    pairs = [pair.strip().partition("=") for pair in text.split(",")]
    if not all(re.fullmatch(r"[\w.]+", name) and equals for name, equals, _ in pairs):
        raise ValueError("must be name=value pairs separated by commas")
    return {name: value for name, _, value in pairs}


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,6}(\.[0-9]+)? ?(MB|GB|MiB|GiB)", text):
        raise ValueError("must be a size with its unit, such as 512MB or 2GB")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/16, parted by commas") from None


def _words(pattern: str, what: str) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        words = tuple(part.strip() for part in text.split(","))
        if not all(re.fullmatch(pattern, word) for word in words):
            raise ValueError(f"must be {what}, parted by commas")
        return words

    return read


def _word(pattern: str, what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {what}")
        return text

    return read


_NAME = _word(r"[!-+\--~]+", "a name without spaces and commas")
_NAMES = _words(r"[!-+\--~]+", "names without spaces")


def rate(text: str) -> str:
    """A rate such as `600/minute`. Raises ValueError."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", text):
        raise ValueError("must be a rate such as 600/minute (second, minute, hour or day)")
    return text


def _rate_or_none(text: str) -> str | None:
    return None if text == "0" else rate(text)


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(","))
    if not all(re.fullmatch(r"https?://[0-9A-Za-z.-]+(:[0-9]{1,5})?", origin) for origin in origins):
        raise ValueError("must be origins such as https://console.example.org, parted by commas; `*` is none")
    return origins


def _bytes_or_none(text: str) -> int | None:
    return _whole_number(0, 2**53 - 1)(text) or None


def _dollars_or_none(text: str) -> float | None:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise ValueError("must be an amount such as 5 or 0.50")
    return float(text) or None


def _number_or_none(maximum: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        return _whole_number(0, maximum)(text) or None

    return read


def _table(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", text):  # DynamoDB guide, "Naming rules"
        raise ValueError("must be the name of a DynamoDB table")
    return text


def _secret(text: str) -> str:
    if text.startswith(PREFIX_OF_REFERENCES):
        SecretReference.parse(text)
    return text


def _about(read: Callable[[str], Any], meaning: str, shown: str | None = None) -> dict[str, Any]:
    """A setting's metadata: how its text is read, what it means, how its default is written in the documentation."""
    return {"read": read, "meaning": meaning, "shown": shown}


@dataclass(frozen=True)
class Settings:
    """Every setting, with its unit in its name. `Settings()` is what a laptop runs with."""

    data_dir: Path = field(
        default=Path(".data"),
        metadata=_about(_path, "folder that holds the lake, the catalogue, the executions, the keys and the results"),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=_about(_host, "address to listen on; any but loopback is refused until an API key exists"),
    )
    port: int = field(
        default=8080, metadata=_about(_whole_number(0, 65535), "port to listen on; 0 takes a free one and logs it")
    )
    engine: str = field(
        default="embedded",
        metadata=_about(
            _one_of("embedded", "athena", "trino"),
            "`embedded`: Athena, Glue and S3 in this process, over the data directory; `athena`: AWS's, through boto3;"
            " `trino`: a Trino cluster over AWS's Glue and S3",
        ),
    )
    result_reuse: str = field(
        default="on",
        metadata=_about(
            _one_of("on", "ledger", "off"),
            "`on`: a query is answered with the result of an equal one where that is what a run now would give"
            " (reuse.md); `ledger`: with Athena and Trino also where the shared ledger knows of no change; `off`: every"
            " query runs",
        ),
    )
    store: str = field(
        default="sqlite",
        metadata=_about(
            _one_of("sqlite", "dynamodb"),
            "where executions and keys are kept: `sqlite` in the data directory, for one replica; `dynamodb` in tables"
            " that several replicas share",
        ),
    )
    executions_table: str = field(
        default="data-hist-executions", metadata=_about(_table, "DynamoDB table of the query executions (`dynamodb`)")
    )
    leases_table: str = field(
        default="data-hist-leases",
        metadata=_about(_table, "DynamoDB table of who is alive and has which role (`dynamodb`)"),
    )
    keys_table: str = field(
        default="data-hist-keys", metadata=_about(_table, "DynamoDB table of the API keys (`dynamodb`)")
    )
    usage_table: str = field(
        default="data-hist-usage", metadata=_about(_table, "DynamoDB table of what tenants have used (`dynamodb`)")
    )
    lease_seconds: int = field(
        default=15,
        metadata=_about(
            _whole_number(1, 3600),
            "how long a replica may be silent before others take up its queries (`dynamodb`)",
        ),
    )
    secret_file: Path | None = field(
        default=None,
        metadata=_about(
            _path,
            "file with the secrets that sign paging tokens, one a line, the current one first; read again when it"
            " changes. Without it a secret is made in the data directory",
            shown="",
        ),
    )
    secret: str | None = field(
        default=None,
        repr=False,
        metadata=_about(
            _secret,
            "the same secrets as text, instead of a file; or `secretsmanager:NAME` (`#MEMBER`), where AWS Secrets"
            " Manager has them",
            shown="",
        )
        | {"is_secret": True},
    )
    lake_bucket: str = field(
        default="data-hist-lake", metadata=_about(_bucket, "bucket of the lake; tables lie below `secor/` in it")
    )
    ledger: str = field(
        default="sqlite",
        metadata=_about(
            _one_of("sqlite", "dynamodb"),
            "where it is kept what is known of each partition: `sqlite`: in the data directory; `dynamodb`: in a table"
            " that the tracker writes and every replica reads",
        ),
    )
    ledger_table: str = field(
        default="data-hist-ledger",
        metadata=_about(
            _word(r"[a-zA-Z0-9_.-]{3,255}", "the name of a DynamoDB table"), "the ledger's table (`dynamodb`)"
        ),
    )
    tables_dir: Path | None = field(
        default=None,
        metadata=_about(
            _path,
            "folder of table specs of one's own, added to the shipped ones and in place of those of the same name"
            " ([tables.md](tables.md))",
            shown="",
        ),
    )
    output_location: str = field(
        default="s3://data-hist-results/",
        metadata=_about(_s3_location, "where the engine writes result objects; nobody else should read there"),
    )
    output_location_operator: str | None = field(
        default=None,
        metadata=_about(
            _s3_location,
            "where the results of callers that see all tenants go; without it where all go (`athena`)",
            shown="",
        ),
    )
    athena_work_group: str | None = field(
        default=None,
        metadata=_about(
            _work_group, "work group in which queries run (`athena`); without it the account's `primary`", shown=""
        ),
    )
    athena_work_group_operator: str | None = field(
        default=None,
        metadata=_about(
            _work_group, "work group of callers that see all tenants (`athena`); without it that of all", shown=""
        ),
    )
    managed_results: bool = field(
        default=False,
        metadata=_about(
            _switch,
            "results stay where the work group keeps them (its own location, or Athena's managed results) and"
            " DATA_HIST_OUTPUT_LOCATION is not sent (`athena`)",
            shown="off",
        ),
    )
    trino_url: str | None = field(
        default=None,
        metadata=_about(_url, "the coordinator (`trino`), such as `https://trino.example:8443`", shown=""),
    )
    trino_user: str = field(default="data-hist", metadata=_about(_NAME, "as whom queries run in Trino"))
    trino_catalog: str = field(
        default="hive", metadata=_about(_NAME, "Trino's catalog whose metastore is the Glue of this service")
    )
    trino_source: str = field(
        default="data-hist", metadata=_about(_NAME, "source of the queries, for Trino's resource groups")
    )
    trino_client_tags: tuple[str, ...] = field(
        default=(),
        metadata=_about(_NAMES, "client tags of all queries, beside `tenant=`, parted by commas", shown=""),
    )
    trino_session_properties: Mapping[str, str] = field(
        default_factory=dict,
        metadata=_about(
            _properties, "session properties of all queries: `query_max_run_time=10m,hive.some=x`", shown=""
        ),
    )
    trino_password_file: Path | None = field(
        default=None,
        metadata=_about(_path, "file with the password of DATA_HIST_TRINO_USER, read for each query", shown=""),
    )
    trino_token_file: Path | None = field(
        default=None,
        metadata=_about(_path, "file with a JWT for Trino, read for each query and again when it expires", shown=""),
    )
    trino_ca_file: Path | None = field(
        default=None,
        metadata=_about(_path, "certificates (PEM) that the coordinator's must be signed by", shown=""),
    )
    max_concurrent_queries: int = field(
        default=4,
        metadata=_about(_whole_number(1, 256), "queries that run beside each other; more wait, honestly QUEUED"),
    )
    max_concurrent_queries_total: int | None = field(
        default=None,
        metadata=_about(
            _number_or_none(10_000),
            "queries of all replicas together that may run beside each other (`dynamodb`); 0 leaves it to the engine's"
            " own limit",
            shown="0",
        ),
    )
    max_queued_queries: int = field(
        default=200,
        metadata=_about(
            _whole_number(1, 100_000), "queries that may wait; beyond it submit answers 429 with Retry-After"
        ),
    )
    max_bytes_scanned: int | None = field(
        default=None,
        metadata=_about(_bytes_or_none, "most bytes one query may read, for every caller; 0 is no limit", shown="0"),
    )
    engine_memory: str = field(
        default="1GB", metadata=_about(_memory, "memory the embedded engine may use before it spills to disk")
    )
    sweep_interval_seconds: int = field(
        default=60, metadata=_about(_whole_number(1, 86_400), "how often results past their retention are deleted")
    )
    request_events: str = field(
        default="on",
        metadata=_about(
            _one_of("on", "audit", "off"),
            "what the service writes of itself to the lake, as events of service `data-hist`: `on` requests and the"
            " audit trail, `audit` the trail alone, `off` nothing",
        ),
    )
    watch: str = field(
        default="auto",
        metadata=_about(
            _one_of("auto", "poll", "off"),
            "register objects that come into the lake folder by themselves: `auto` by the system's notifications, or by"
            " polling where it gives none; `poll`; `off`",
        ),
    )
    watch_interval_seconds: int = field(
        default=2, metadata=_about(_whole_number(1, 3600), "how often the lake folder is looked through when polling")
    )
    watch_start_days: int | None = field(
        default=366,
        metadata=_about(
            _number_or_none(1_000_000),
            "days per table, the newest, that are compared with the ledger at start: what came while nobody watched;"
            " 0 is all",
        ),
    )
    inspect: str = field(
        default="full",
        metadata=_about(
            _one_of("off", "sample", "full"),
            "read objects that came into the lake folder, after they are registered, for their rows and times: `full`;"
            " `sample`: only their beginnings; `off`",
        ),
    )
    inspect_max_bytes: int = field(
        default=268_435_456,
        metadata=_about(_whole_number(0, 2**53 - 1), "of larger objects only the beginning is read"),
    )
    mark_complete: bool = field(
        default=False,
        metadata=_about(
            _switch,
            "write `_SUCCESS` into the folders of the lake's partitions and days that are complete, every minute, as"
            " Secor does (embedded; on AWS the worker does it)",
            shown="off",
        ),
    )
    data_retention: str = field(
        default="off",
        metadata=_about(
            _one_of("off", "report", "on"),
            "what happens to data past its table's retention, once an hour: `on`: it leaves the catalogue, and over the"
            " embedded S3 its objects are archived and in the end deleted; `report`: the log tells what would leave;"
            " `off`: nothing (`data-hist retention sweep` does it by hand)",
        ),
    )
    traces: str = field(
        default="off",
        metadata=_about(
            _one_of("off", "otlp"),
            "`otlp`: send spans of requests and queries to an OpenTelemetry collector; where to is told by"
            " OpenTelemetry's own variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`",
        ),
    )
    access_log: bool = field(
        default=True, metadata=_about(_switch, "one JSON line per request on standard error", shown="on")
    )
    log_level: str = field(
        default="info",
        metadata=_about(_one_of("debug", "info", "warning", "error"), "least level of lines on standard error"),
    )
    drain_seconds: int = field(
        default=0,
        metadata=_about(
            _whole_number(0, 3600),
            "how long requests are still taken after SIGTERM, while readiness already says no: time for a load"
            " balancer to look away",
        ),
    )
    shutdown_seconds: int = field(
        default=30,
        metadata=_about(
            _whole_number(0, 3600), "how long running requests may finish after SIGTERM before they are cut"
        ),
    )
    trusted_peers: tuple[Network, ...] = field(
        default=(),
        metadata=_about(
            _networks,
            "networks of gateways and load balancers whose `X-Forwarded-*` and `X-Data-Hist-*` headers are believed"
            " ([security.md](security.md)); nobody's by default, loopback's neither",
            shown="",
        ),
    )
    rate_limit: str | None = field(
        default=None,
        metadata=_about(
            _rate_or_none,
            "requests that each key may make, such as `600/minute`, where it has no rate of its own; per replica; 0 is"
            " no limit",
            shown="0",
        ),
    )
    max_queries_per_key: int | None = field(
        default=None,
        metadata=_about(
            _number_or_none(100_000),
            "queries of a key, waiting or running, at a time, where it has no limit of its own; beyond it submit"
            " answers 429; per replica; 0 is no limit",
            shown="0",
        ),
    )
    max_queries_per_tenant: int | None = field(
        default=None,
        metadata=_about(_number_or_none(100_000), "the same for all keys of a tenant together", shown="0"),
    )
    daily_bytes: int | None = field(
        default=None,
        metadata=_about(
            _bytes_or_none, "most bytes the queries of a tenant may read on a day (UTC); 0 is no limit", shown="0"
        ),
    )
    daily_cost_usd: float | None = field(
        default=None,
        metadata=_about(
            _dollars_or_none,
            "the same in US dollars, at Athena's list price; the smaller of the two counts; 0 is no limit",
            shown="0",
        ),
    )
    budgets_file: Path | None = field(
        default=None,
        metadata=_about(
            _path, "YAML file with tenants that have a budget of their own ([security.md](security.md))", shown=""
        ),
    )
    jwt_issuer: str | None = field(
        default=None,
        metadata=_about(
            _word(r"https?://[^\s?#]{1,500}", "the https URL of an OpenID provider"),
            "issuer of bearer tokens (`iss`), exactly as it writes itself; its keys are found by OIDC discovery",
            shown="",
        ),
    )
    jwt_audience: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            _words(r"\S{1,500}", "audiences"), "audiences of tokens for this service, parted by commas", shown=""
        ),
    )
    jwt_audience_claim: str = field(
        default="aud",
        metadata=_about(
            _word(r"\S{1,200}", "the name of a claim"),
            "claim that holds the audience; `client_id` for Cognito's access tokens",
        ),
    )
    jwt_jwks_url: str | None = field(
        default=None,
        metadata=_about(
            _word(r"https?://[^\s#]{1,500}", "an https URL"),
            "where the issuer's keys are, for an issuer without OIDC discovery",
            shown="",
        ),
    )
    jwt_algorithms: tuple[str, ...] = field(
        default=("RS256", "ES256", "EdDSA"),
        metadata=_about(
            _words(r"(RS|PS|ES)(256|384|512)|EdDSA", "signature algorithms with public keys, such as RS256"),
            "signature algorithms that are accepted, parted by commas",
            shown="RS256,ES256,EdDSA",
        ),
    )
    jwt_leeway_seconds: int = field(
        default=30, metadata=_about(_whole_number(0, 600), "how far the issuer's clock may be from ours")
    )
    jwt_customer_claim: str = field(
        default="customer_ids",
        metadata=_about(
            _word(r"\S{1,200}", "the name of a claim, or a JSON pointer to it"),
            "claim with the customers whose rows a token's caller sees, or a JSON pointer to it",
        ),
    )
    jwt_scope_claim: str = field(
        default="scope",
        metadata=_about(
            _word(r"\S{1,200}", "the name of a claim, or a JSON pointer to it"),
            "claim with scopes, roles or groups, such as `/realm_access/roles`",
        ),
    )
    jwt_mapping_file: Path | None = field(
        default=None,
        metadata=_about(
            _path, "YAML file that says what words of these claims are worth ([security.md](security.md))", shown=""
        ),
    )
    public_url: str | None = field(
        default=None,
        metadata=_about(
            _word(r"https?://[0-9A-Za-z.:\[\]-]+", "an origin such as https://data-hist.example.org"),
            "where clients reach the service, for download links; without it a link is a path",
            shown="",
        ),
    )
    cors_origins: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            _origins, "origins whose pages may call from a browser, such as `https://console.example.org`", shown=""
        ),
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings of `environment` (`os.environ` when None); an empty value is as good as none.

        Raises SettingsError with a line for each value that can't be used.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        complaints = []
        for setting in dataclasses.fields(cls):
            variable = PREFIX + setting.name.upper()
            text = environment.get(variable, "").strip()
            if not text:
                continue
            try:
                values[setting.name] = setting.metadata["read"](text)
            except ValueError as error:
                shown = "..." if setting.metadata.get("is_secret") else repr(text)
                complaints.append(f"{variable}={shown}: {error}")
        if not complaints:
            settings = cls(**values)
            complaints = list(_contradictions(settings))
            if not complaints:
                return settings
        raise SettingsError("\n".join(complaints))

    @property
    def is_loopback(self) -> bool:
        """Whether the bind address can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _contradictions(settings: Settings) -> Iterator[str]:
    """A sentence for each pair of settings that do not go together."""
    if settings.managed_results and settings.engine != "athena":
        yield "DATA_HIST_MANAGED_RESULTS=on needs DATA_HIST_ENGINE=athena: no other engine keeps results itself"
    if settings.engine == "trino" and settings.trino_url is None:
        yield "DATA_HIST_ENGINE=trino needs DATA_HIST_TRINO_URL"
    if settings.trino_password_file is not None and settings.trino_token_file is not None:
        yield "DATA_HIST_TRINO_PASSWORD_FILE and DATA_HIST_TRINO_TOKEN_FILE are two ways to say the same: set one"
    has_secret = settings.trino_password_file is not None or settings.trino_token_file is not None
    if has_secret and not (settings.trino_url or "https:").startswith("https:"):
        yield "DATA_HIST_TRINO_URL must be https: a password or token is not sent without TLS"
    if settings.secret is not None and settings.secret_file is not None:
        yield "DATA_HIST_SECRET and DATA_HIST_SECRET_FILE are two ways to say the same: set one"
    if settings.store == "dynamodb":
        if settings.engine == "embedded":
            yield (
                "DATA_HIST_STORE=dynamodb is for several replicas, which the embedded engine cannot have, since its"
                " queries run in one process: set DATA_HIST_ENGINE too"
            )
        if settings.secret is None and settings.secret_file is None:
            yield (
                "DATA_HIST_STORE=dynamodb needs DATA_HIST_SECRET_FILE or DATA_HIST_SECRET, the same for every replica:"
                " otherwise none could read the paging tokens of the others"
            )


def documented_settings() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of each setting: what docs/configuration.md has to say."""
    return [
        (
            PREFIX + setting.name.upper(),
            str(setting.default) if setting.metadata["shown"] is None else setting.metadata["shown"],
            setting.metadata["meaning"],
        )
        for setting in dataclasses.fields(Settings)
    ]


# Variables with the prefix that other commands read: not settings of the service, but not mistakes either.
CLIENT_VARIABLES = frozenset(
    {
        "DATA_HIST_URL",
        "DATA_HIST_API_KEY",
        "DATA_HIST_API_KEY_FILE",
        "DATA_HIST_KEY",
        "DATA_HIST_DEBUG",
        "DATA_HIST_CRAWLER_ROLE",
        "DATA_HIST_DEAD_LETTER_QUEUE_URL",  # of glue.lambda_handler
    }
)


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each `DATA_HIST_*` variable that is no setting, with the nearest name that is one."""
    known = {variable for variable, _, _ in documented_settings()}
    sentences = []
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in known | CLIENT_VARIABLES:
            near = difflib.get_close_matches(variable, known, n=1)
            sentences.append(f"{variable} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return sentences
