"""Traces by OpenTelemetry's SDK, to a collector that speaks OTLP over HTTP.

What the SDK reads by itself of OTEL_* variables holds: sampler, resource, limits, batches, headers,
certificates, timeout, compression. Spans wait in a queue of bounded length and leave by a thread of their
own, so a collector that hangs or is away costs spans, and no request any time (docs/decisions/0044).

This module alone imports the SDK, and is imported where an endpoint is set.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import time_ns

from opentelemetry import context as contexts
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

CLOSE_SECONDS = 3.0
"""How long the last spans may take to leave when the process stops."""

_W3C = TraceContextTextMapPropagator()
_FIELDS = {b"traceparent": "traceparent", b"tracestate": "tracestate"}
_NOTHING = contexts.Context()

# What a span may say of a method (semantic conventions of HTTP): any other would be the client's own text.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_OTHER = "_OTHER"


class OtlpTracing:
    """A `Tracing`."""

    def __init__(
        self, endpoint: str, *, service: Mapping[str, str], exporter: SpanExporter | None = None
    ) -> None:
        """`endpoint` is the collector's base address; `service` is what is said of this one, unless
        OTEL_RESOURCE_ATTRIBUTES or OTEL_SERVICE_NAME say something else."""
        named = OTELResourceDetector().detect().attributes
        if exporter is None:
            own = bool(os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))  # which the exporter reads
            exporter = OTLPSpanExporter(None if own else f"{endpoint.rstrip('/')}/v1/traces")
        self._provider = TracerProvider(
            resource=Resource.create({**service, **named}),
            shutdown_on_exit=False,  # it would wait for 30 seconds; `close` does not
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(service["service.name"], service.get("service.version"))

    def serve(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> "_Serving":
        carrier = {_FIELDS[name]: value.decode("latin-1") for name, value in headers if name in _FIELDS}
        parent = _W3C.extract(carrier, _NOTHING) if carrier else _NOTHING
        return _Serving(self._tracer, method if method in _METHODS else _OTHER, parent)

    @contextmanager
    def calling(self, name: str, attributes: Mapping[str, str]) -> Iterator["_Calling"]:
        with self._span(name, SpanKind.CLIENT, attributes, None) as span:
            yield _Calling(span)

    @contextmanager
    def reacting(
        self, name: str, traceparent: str | None, attributes: Mapping[str, str]
    ) -> Iterator["_Reacting"]:
        parent = _W3C.extract({"traceparent": traceparent}, _NOTHING) if traceparent else _NOTHING
        with self._span(name, SpanKind.CONSUMER, attributes, parent) as span:
            yield _Reacting(span)

    def statement_ended(self, name: str, seconds: float, error: Exception | None) -> None:
        if not get_current_span().is_recording():
            return
        now = time_ns()
        span = self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.query.summary": name},
            start_time=now - int(seconds * 1e9),
        )
        if error is not None:
            _fail(span, error)
        span.end(now)

    async def close(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has gone: it was not waited for
                loop.call_soon_threadsafe(ended.set)

        # No executor's thread: the interpreter would wait for it at its end, however long that takes.
        threading.Thread(target=shut_down, name="tracing-close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await ended.wait()
        except TimeoutError:
            logging.getLogger(__name__).warning("The collector does not take the last spans.")

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, str], parent: contexts.Context | None
    ) -> Iterator[Span]:
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=attributes)
        token = contexts.attach(set_span_in_context(span))
        try:
            yield span
        except Exception as error:
            _fail(span, error)
            raise
        finally:
            contexts.detach(token)
            span.end()


class _Serving:
    __slots__ = ("_method", "_span", "_token", "trace_id", "traceparent")

    def __init__(self, tracer: Tracer, method: str, parent: contexts.Context) -> None:
        self._method = method
        self._span = tracer.start_span(
            method, context=parent, kind=SpanKind.SERVER, attributes={"http.request.method": method}
        )
        self._token = contexts.attach(set_span_in_context(self._span, parent))
        self.traceparent = _traceparent(self._span)
        self.trace_id = self.traceparent[3:35]

    def end(self, *, route: str | None, status: int, error: str | None) -> None:
        contexts.detach(self._token)
        span = self._span
        if span.is_recording():
            if route is not None:
                span.update_name(f"{self._method} {route}")
                span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            if error is not None or status >= 500:
                span.set_attribute("error.type", error or str(status))
                span.set_status(StatusCode.ERROR)
        span.end()


class _Calling:
    __slots__ = ("_span", "headers")

    def __init__(self, span: Span) -> None:
        self._span = span
        headers: dict[str, str] = {}
        _W3C.inject(headers, set_span_in_context(span))
        self.headers: Mapping[str, str] = headers

    def answered(self, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(StatusCode.ERROR)


class _Reacting:
    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = _traceparent(span)

    def fail(self, why: str) -> None:
        self._span.set_attribute("error.type", why)
        self._span.set_status(StatusCode.ERROR)


def _fail(span: Span, error: Exception) -> None:
    """By the class alone: a message can hold any value."""
    span.set_attribute("error.type", type(error).__qualname__)
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str):
        span.set_attribute("db.response.status_code", sqlstate)
    span.set_status(StatusCode.ERROR)


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
