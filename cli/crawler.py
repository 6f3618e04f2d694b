"""`data-hist crawler`: Glue crawlers with safe settings, and what a crawl would make before anybody pays for it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import counted, say, shown_bytes, shown_time, write_json, write_table, write_text

if TYPE_CHECKING:  # what commands need at run time they import themselves: help is quick
    from collections.abc import Mapping

    from cli.lake import Lake
    from glue.crawl_changes import TableChange
    from glue.crawl_prediction import CrawlPrediction
    from glue.crawler_configuration import CrawlerConfiguration
    from glue.table_spec import TableSpec

app = typer.Typer(help="Glue crawlers with safe settings.", no_args_is_help=True)
MAXIMUM_LINES = 20
DEFAULT_SAMPLES = 1000

Tables = Annotated[list[str] | None, typer.Argument(help="Tables; all without one.")]
Crawlers = Annotated[
    list[str] | None, typer.Argument(help="Tables or names of crawlers; all of this lake's without one.")
]
Role = Annotated[
    str | None,
    typer.Option("--role", envvar="DATA_HIST_CRAWLER_ROLE", help="ARN or name of the IAM role a crawler takes."),
]
ScheduleOption = Annotated[
    str | None, typer.Option("--schedule", metavar="CRON", help="When it runs (UTC), such as 'cron(15 * * * ? *)'.")
]
Queue = Annotated[
    str | None, typer.Option("--queue", metavar="ARN", help="SQS queue of S3's events: crawls what they tell only.")
]
DeadLetters = Annotated[str | None, typer.Option("--dead-letters", metavar="ARN", help="Queue for events that failed.")]
SampleSize = Annotated[
    int | None, typer.Option("--sample-size", min=1, max=249, help="Files of each folder that a crawl reads.")
]


@app.callback()
def crawler() -> None:
    """Glue crawlers with safe settings."""


@app.command()
def plan(
    tables: Tables = None,
    role: Role = None,
    schedule: ScheduleOption = None,
    queue: Queue = None,
    dead_letters: DeadLetters = None,
    sample_size: SampleSize = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Show the crawler of a table, what of it differs from the account's, and what runs cost. Changes nothing."""
    return _apply(tables, role, schedule, queue, dead_letters, sample_size, data_dir, as_json=as_json, applies=False)


@app.command()
def apply(
    tables: Tables = None,
    role: Role = None,
    schedule: ScheduleOption = None,
    queue: Queue = None,
    dead_letters: DeadLetters = None,
    sample_size: SampleSize = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Make the crawlers of tables as planned. Doing it again changes nothing."""
    return _apply(tables, role, schedule, queue, dead_letters, sample_size, data_dir, as_json=as_json, applies=True)


@app.command("dry-run")
def dry_run(
    tables: Tables = None,
    path: Annotated[
        str | None, typer.Option("--path", metavar="S3", help="A folder of any bucket instead of a table.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--crawler", metavar="NAME", help="An existing crawler instead of a table's preset.")
    ] = None,
    combines: Annotated[bool, typer.Option("--combine", help="With --path: CombineCompatibleSchemas.")] = False,
    level: Annotated[
        int | None, typer.Option("--table-level", min=1, help="With --path: TableLevelConfiguration.")
    ] = None,
    exclusions: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="GLOB", help="With --path: leave out; may be repeated.")
    ] = None,
    database: Annotated[str, typer.Option("--database", help="With --path: the database of its tables.")] = "default",
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Objects to read at most; a crawler reads all of them.")
    ] = DEFAULT_SAMPLES,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Predict what a crawl would make: tables, partitions, columns, what it would break. Changes nothing."""
    from cli.lake import now, open_lake
    from glue.crawl_changes import changes, locations_of, tables_of
    from glue.crawl_prediction import predict
    from glue.crawlers import cost_estimate

    with open_lake(data_dir) as lake:
        documents = []
        for configuration in _configurations(lake, tables, path, name, combines, level, exclusions, database):
            known = tables_of(lake.glue, configuration.database)
            cost = cost_estimate(None, now())
            prediction = predict(lake.s3, configuration, maximum_samples=samples, taken_names=locations_of(known))
            found = changes(lake.glue, configuration, prediction, known)
            documents.append(_prediction_document(configuration, prediction, found) | {"cost": vars(cost)})
            if not as_json:
                _tell_prediction(configuration, prediction, found)
                say(f"a crawl costs ${cost.per_run_usd:.2f} at least, and more when it takes longer than ten minutes")
    if as_json:
        write_json({"crawlers": documents})
    return int(ExitCode.OK)


@app.command()
def start(crawlers: Crawlers = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """Start crawlers. One that runs already is left alone. On this machine's lake it waits, as the crawl runs here."""
    from cli.lake import open_lake
    from glue.crawlers import start as start_crawler

    with open_lake(data_dir) as lake:
        names = _names(lake, crawlers)
        started = {name: start_crawler(lake.glue, name) for name in names}
        for name, has_started in started.items():
            say(f"{name} {'started' if has_started else 'runs already'}")
        if lake.is_embedded:
            for name in names:
                _wait(lake, name, timeout_seconds=3600)
        documents = [_crawler_document(lake, name) for name in names]
    if as_json:
        write_json({"crawlers": [{**found, "started": started[found["name"]]} for found in documents]})
    return _outcome(documents)


@app.command()
def wait(
    crawlers: Crawlers = None,
    timeout_seconds: Annotated[int, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 3600,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Wait until crawlers have ended; status 3 when one failed or still runs."""
    from cli.lake import open_lake

    with open_lake(data_dir) as lake:
        names = _names(lake, crawlers)
        have_ended = [_wait(lake, name, timeout_seconds=timeout_seconds) for name in names]
        documents = [_crawler_document(lake, name) for name in names]
    if as_json:
        write_json({"crawlers": documents})
    return _outcome(documents) if all(have_ended) else int(ExitCode.PARTLY)


@app.command()
def stop(crawlers: Crawlers = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """Stop crawlers; what they have written stays."""
    from cli.lake import open_lake
    from glue.crawlers import stop as stop_crawler

    with open_lake(data_dir) as lake:
        stopped = {name: stop_crawler(lake.glue, name) for name in _names(lake, crawlers)}
    for name, has_stopped in stopped.items():
        say(f"{name} {'is stopping' if has_stopped else 'does not run'}")
    if as_json:
        write_json({"crawlers": [{"name": name, "stopped": done} for name, done in stopped.items()]})
    return int(ExitCode.OK)


@app.command()
def status(
    crawlers: Annotated[
        list[str] | None, typer.Argument(help="Tables or names of crawlers; all of the account without one.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Show crawlers, and every setting that is not safe with what it can break."""
    from cli.lake import open_lake
    from glue.crawlers import find_all

    with open_lake(data_dir) as lake:
        names = _names(lake, crawlers) if crawlers else [found["Name"] for found in find_all(lake.glue)]
        documents = [_crawler_document(lake, name) for name in names]
    if as_json:
        write_json({"crawlers": documents})
        return int(ExitCode.OK)
    columns = [("crawler", False), ("state", False), ("schedule", False), ("last crawl", False), ("started", False)]
    rows = [
        (
            d["name"],
            d["state"],
            d["schedule"] or "-",
            d["last_crawl_status"] or "-",
            shown_time(d["last_crawl_started_at"]),
        )
        for d in documents
    ]
    if rows:
        write_table(columns, rows)
    else:
        say("there is no crawler")
    for document in documents:
        for deviation in document["deviations"]:
            write_text(
                f"{document['name']}: {deviation['setting']} is {deviation['value']}, safe is {deviation['preset']}:"
                f" {deviation['breaks']}"
            )
        if document["last_crawl_error"]:
            say(f"{document['name']}: {document['last_crawl_error']}")
    return int(ExitCode.OK)


@app.command()
def history(
    crawlers: Crawlers = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Most runs of each crawler.")] = 20,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Show runs, how long they took and what they cost."""
    from cli.lake import open_lake
    from glue.crawlers import history as runs_of
    from glue.crawlers import total_cost_usd

    with open_lake(data_dir) as lake:
        runs = {name: runs_of(lake.glue, name, limit=limit) for name in _names(lake, crawlers)}
    if as_json:
        write_json(
            {"crawlers": [{"name": name, "crawls": [run.to_json() for run in found]} for name, found in runs.items()]}
        )
        return int(ExitCode.OK)
    columns = [("crawler", False), ("started", False), ("state", False), ("seconds", True), ("cost", True), ("", False)]
    rows = [
        (
            name,
            shown_time(run.started_at),
            run.state,
            "-" if run.seconds is None else f"{run.seconds:,.0f}",
            "-" if run.cost_usd is None else f"${run.cost_usd:,.2f}",
            run.error or run.summary,
        )
        for name, found in runs.items()
        for run in found
    ]
    if rows:
        write_table(columns, rows)
    total = sum(total_cost_usd(found) for found in runs.values())
    say(f"{counted(len(rows), 'run')}, ${total:,.2f} at $0.44 a DPU-hour, ten minutes at least for each")
    return int(ExitCode.OK)


@app.command()
def delete(
    crawlers: Annotated[list[str], typer.Argument(help="Tables or names of crawlers.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Delete crawlers; the tables they made stay."""
    from cli.lake import open_lake
    from glue.crawlers import delete as delete_crawler

    with open_lake(data_dir) as lake:
        deleted = {name: delete_crawler(lake.glue, name) for name in _names(lake, crawlers, must_exist=False)}
    for name, was_there in deleted.items():
        say(f"{name} {'deleted' if was_there else 'was not there'}")
    if as_json:
        write_json({"crawlers": [{"name": name, "deleted": was_there} for name, was_there in deleted.items()]})
    return int(ExitCode.OK)


def _apply(
    tables: list[str] | None,
    role: str | None,
    schedule: str | None,
    queue: str | None,
    dead_letters: str | None,
    sample_size: int | None,
    data_dir: Any,
    *,
    as_json: bool,
    applies: bool,
) -> int:
    from cli.lake import now, open_lake
    from glue import crawlers
    from glue.crawler_preset import CannotCrawl, preset
    from glue.crawler_schedule import InvalidSchedule

    if dead_letters is not None and queue is None:
        raise Failure("--dead-letters goes with --queue")
    try:
        cost = crawlers.cost_estimate(schedule, now())
    except InvalidSchedule as error:
        raise Failure(f"--schedule: {error}", code="InvalidSchedule") from error
    documents = []
    with open_lake(data_dir) as lake:
        for spec in _specs(lake, tables):
            existing = crawlers.find(lake.glue, _name(spec))
            taken_role = role or (existing or {}).get("Role") or ("embedded" if lake.is_embedded else None)
            if taken_role is None:
                raise Failure("a crawler needs a role: --role, or DATA_HIST_CRAWLER_ROLE")
            try:
                wanted = preset(
                    spec,
                    taken_role,
                    schedule=schedule,
                    queue_arn=queue,
                    dead_letter_arn=dead_letters,
                    sample_size=sample_size,
                )
                changed = [] if existing is None else crawlers.differences(existing, wanted)
                if applies:
                    done = crawlers.apply(lake.glue, wanted)
                else:
                    done = "created" if existing is None else "updated" if changed else "unchanged"
            except CannotCrawl as error:
                raise Failure(str(error), code="CannotCrawl") from error
            except crawlers.TargetIsFixed as error:
                raise Failure(
                    f"{error}: its target cannot be changed, as it crawls new folders only; delete it first",
                    code="TargetIsFixed",
                ) from error
            documents.append({"crawler": wanted, "outcome": done, "changed": changed})
    if as_json:
        write_json({"crawlers": documents, "applied": applies, "cost": vars(cost)})
        return int(ExitCode.OK)
    for document in documents:
        _tell_crawler(document, applies=applies)
    told = (
        ""
        if cost.per_month_usd is None
        else f"; {cost.runs_per_month:,} runs in 30 days are ${cost.per_month_usd:,.2f}"
    )
    say(f"a run costs ${cost.per_run_usd:.2f} at least (2 DPUs, ten minutes){told}")
    return int(ExitCode.OK)


def _tell_crawler(document: Mapping[str, Any], *, applies: bool) -> None:
    wanted = document["crawler"]
    verb = (
        document["outcome"]
        if applies
        else {"created": "new", "updated": "differs"}.get(document["outcome"], "as it is")
    )
    changed = f" ({', '.join(document['changed'])})" if document["changed"] else ""
    write_text(f"{wanted['Name']}: {verb}{changed}")
    if document["outcome"] == "unchanged":
        return
    target = wanted["Targets"]["S3Targets"][0]
    write_text(f"  {target['Path']} without {', '.join(target['Exclusions'])}")
    write_text(f"  {wanted['RecrawlPolicy']['RecrawlBehavior']}, schedule {wanted.get('Schedule', 'none')}")
    write_text(f"  {wanted['Configuration']}")


def _specs(lake: Lake, tables: list[str] | None) -> list[TableSpec]:
    return [lake.table(name) for name in tables] if tables else list(lake.tables.values())


def _name(spec: TableSpec) -> str:
    from glue.crawler_preset import crawler_name

    return crawler_name(spec)


def _names(lake: Lake, given: list[str] | None, *, must_exist: bool = True) -> list[str]:
    """Names of crawlers by tables or by themselves; without any, those of this lake's tables that there are."""
    from glue.crawlers import find

    if not given:
        names = [_name(spec) for spec in lake.tables.values()]
        found = [name for name in names if find(lake.glue, name) is not None]
        if not found:
            raise Failure("no table has a crawler; data-hist crawler apply makes them", code="CrawlerNotFound")
        return found
    names = [_name(lake.tables[name]) if name in lake.tables else name for name in given]
    for name in names if must_exist else []:
        if find(lake.glue, name) is None:
            raise Failure(f"there is no crawler {name!r}", code="CrawlerNotFound")
    return names


def _wait(lake: Lake, name: str, *, timeout_seconds: float) -> bool:
    """Whether it has ended within the time."""
    from glue.crawlers import CrawlTimeout
    from glue.crawlers import wait as wait_for

    told: list[str] = []

    def tell(state: str, seconds: float) -> None:
        if not told or told[-1] != state:
            say(f"{name} {state} after {seconds:.0f} s")
            told.append(state)

    try:
        wait_for(
            lake.glue,
            name,
            timeout_seconds=timeout_seconds,
            clock=time.monotonic,
            sleep=time.sleep,
            on_change=tell,
            poll_seconds=0.1 if lake.is_embedded else 5.0,
        )
    except CrawlTimeout:
        say(f"{name} still runs after {timeout_seconds:.0f} s")
        return False
    return True


def _crawler_document(lake: Lake, name: str) -> dict[str, Any]:
    from glue.crawler_preset import deviations

    found = lake.glue.get_crawler(Name=name)["Crawler"]
    spec = next((each for each in lake.tables.values() if _serves(found, each)), None)
    last = found.get("LastCrawl", {})
    return {
        "name": name,
        "table": None if spec is None else spec.reference,
        "state": found["State"],
        "schedule": found.get("Schedule", {}).get("ScheduleExpression"),
        "last_crawl_status": last.get("Status"),
        "last_crawl_started_at": last.get("StartTime"),
        "last_crawl_error": last.get("ErrorMessage"),
        "deviations": [vars(deviation) for deviation in deviations(found, spec)],
    }


def _serves(found: Mapping[str, Any], spec: TableSpec) -> bool:
    """Whether a crawler looks at a table's folder, or at one above it."""
    paths = [str(target.get("Path", "")).rstrip("/") + "/" for target in found.get("Targets", {}).get("S3Targets", ())]
    return found["Name"] == _name(spec) or any(spec.location.startswith(path) for path in paths)


def _outcome(documents: list[dict[str, Any]]) -> int:
    failed = [document for document in documents if document["last_crawl_status"] == "FAILED"]
    for document in failed:
        say(f"{document['name']} failed: {document['last_crawl_error']}")
    return int(ExitCode.PARTLY if failed else ExitCode.OK)


def _configurations(
    lake: Lake,
    tables: list[str] | None,
    path: str | None,
    name: str | None,
    combines: bool,
    level: int | None,
    exclusions: list[str] | None,
    database: str,
) -> list[CrawlerConfiguration]:
    from glue.crawler_configuration import CrawlerConfiguration, InvalidConfiguration
    from glue.crawler_preset import CannotCrawl, preset
    from glue.crawlers import find

    if sum(bool(given) for given in (tables, path, name)) > 1:
        raise Failure("name tables, or --path, or --crawler")
    try:
        if name is not None:
            found = find(lake.glue, name)
            if found is None:
                raise Failure(f"there is no crawler {name!r}", code="CrawlerNotFound")
            return [CrawlerConfiguration.from_crawler(found)]
        if path is not None:
            target = {"Path": path, "Exclusions": exclusions or []}
            plain = CrawlerConfiguration.from_crawler(
                {"Name": "dry-run", "DatabaseName": database, "Targets": {"S3Targets": [target]}}
            )
            return [replace(plain, combines_schemas=combines, table_level=level)]
        return [CrawlerConfiguration.from_crawler(preset(spec, "dry-run")) for spec in _specs(lake, tables)]
    except (InvalidConfiguration, CannotCrawl) as error:
        raise Failure(str(error), code="CannotCrawl") from error


def _prediction_document(
    configuration: CrawlerConfiguration, prediction: CrawlPrediction, found: list[TableChange]
) -> dict[str, Any]:
    document = prediction.to_json()
    for table, change in zip(document["tables"], found, strict=True):
        table["change"] = change.to_json()
    return {"name": configuration.name, "database": configuration.database, **document}


def _tell_prediction(
    configuration: CrawlerConfiguration, prediction: CrawlPrediction, found: list[TableChange]
) -> None:
    where = ", ".join(target.uri() for target in configuration.targets)
    left_out = [
        (prediction.excluded_count, "excluded"), (prediction.empty_count, "empty"),
        (prediction.archived_count, "archived"), (prediction.unknown_count, "of no known format"),
    ]  # fmt: skip
    told = "".join(f", {number:,} {what}" for number, what in left_out if number)
    say(
        f"{where}: {counted(prediction.object_count, 'object')} ({shown_bytes(prediction.size_bytes)}),"
        f" {prediction.sampled_objects:,} read{told}"
    )
    for change in found[:MAXIMUM_LINES]:
        _tell_change(change, configuration)
    if len(found) > MAXIMUM_LINES:
        say(f"... and {len(found) - MAXIMUM_LINES:,} more tables")
    threshold = configuration.table_threshold
    if threshold is not None and len(found) > threshold:
        write_text(f"the crawl FAILS: {len(found)} tables, TableThreshold is {threshold}; nothing is written")
    for key in prediction.unknown[:3]:
        say(f"mind: no known format: {key}")
    for warning in prediction.warnings[:MAXIMUM_LINES]:
        say(f"mind: {warning}")


def _tell_change(change: TableChange, configuration: CrawlerConfiguration) -> None:
    table = change.table
    keys = ", ".join(f"{key} string" for key in table.partition_keys) or "none"
    state = "new" if change.existing is None else "exists"
    write_text(f"table {configuration.database}.{table.name} ({state}) at {table.location}")
    if table.reason:
        write_text(f"  a table of its own, since {table.reason}")
    shown = table.format if table.compression == "none" else f"{table.format}, {table.compression}"
    partitions = f"; {counted(len(table.partitions), 'partition')}, {change.new_partitions:,} of them new"
    write_text(
        f"  {shown}; {counted(table.object_count, 'object')}; partition keys: {keys}"
        f"{partitions if table.partition_keys else ''}"
    )
    if change.existing is None:
        for column in table.columns[:MAXIMUM_LINES]:
            write_text(f"  {column.name} {_short(column.hive())}")
        if len(table.columns) > MAXIMUM_LINES:
            say(f"  ... and {len(table.columns) - MAXIMUM_LINES} more columns")
        return
    for name, old, new in change.retyped:
        write_text(f"  {name}: {_short(old)} in the catalogue, {_short(new)} found")
    if change.added:
        write_text(f"  not in the catalogue: {', '.join(change.added)}")
    if change.removed:
        write_text(f"  not found: {', '.join(change.removed)}")
    write_text(f"  {change.verdict}: the crawler {change.effect}")


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
