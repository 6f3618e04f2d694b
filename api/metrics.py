"""Numbers for Prometheus, in a registry of their own that is handed in: no global state, so tests and replicas
don't mix.

docs/http-api.md lists the names. Labels are bounded: the route is the contract's path template, never a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

DURATION_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RequestMetrics:
    """What the edge counts: requests, their durations, how many are being served, bytes sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "data_hist_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._durations = Histogram(
            "data_hist_http_request_duration_seconds",
            "Time from a request's first byte to its answer's last, long polls included.",
            ("method", "route"),
            buckets=DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("data_hist_http_requests_in_flight", "Requests being served.", registry=registry)
        self._sent = Counter(
            "data_hist_http_response_bytes", "Bytes of answers' bodies.", ("route",), registry=registry
        )
        # label lookups cost more than the counting itself, so each combination is looked up once
        self._known: dict[tuple[str, str, int], Callable[[float, int], None]] = {}

    def observe(self, method: str, route: str, status: int, duration_seconds: float, sent_bytes: int) -> None:
        """Counts one answered request."""
        key = (method, route, status)
        record = self._known.get(key)
        if record is None:
            record = self._known[key] = self._recorder(method, route, status)
        record(duration_seconds, sent_bytes)

    def _recorder(self, method: str, route: str, status: int) -> Callable[[float, int], None]:
        count = self._requests.labels(method, route, str(status)).inc
        duration = self._durations.labels(method, route).observe
        sent = self._sent.labels(route).inc

        def record(duration_seconds: float, sent_bytes: int) -> None:
            count()
            duration(duration_seconds)
            sent(sent_bytes)

        return record


class Readings:
    """Numbers that someone else keeps, read when Prometheus asks. `read` gives name -> value or name -> {label
    value: value}.
    """

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        for reading in self._read():
            family = CounterMetricFamily if reading.is_counter else GaugeMetricFamily
            if isinstance(reading.value, Mapping):
                metric = family(reading.name, reading.meaning, labels=(reading.label,))
                for label_value, value in reading.value.items():
                    metric.add_metric((label_value,), value)
            else:
                metric = family(reading.name, reading.meaning, value=reading.value)
            yield metric


class Reading:
    """One number, or one per label value."""

    def __init__(
        self,
        name: str,
        meaning: str,
        value: float | Mapping[str, float],
        *,
        label: str = "status",
        is_counter: bool = False,
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.value = value
        self.label = label
        self.is_counter = is_counter


def exposition(registry: CollectorRegistry) -> bytes:
    """Everything in `registry` in Prometheus' text format."""
    return generate_latest(registry)
