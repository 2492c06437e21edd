//! Exports spans to an OpenTelemetry collector, over gRPC.
//!
//! The standard environment variables configure it: `OTEL_EXPORTER_OTLP_ENDPOINT` (nothing is exported without it, or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`), `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`,
//! `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_SDK_DISABLED` and the others. The queue is bounded; spans that do not fit are
//! dropped, and nothing waits for the collector.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, Value};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Export};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::observe::table::{self, SpanLoss};
use crate::observe::trace_context::TraceParent;

const ENDPOINT_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
const SERVICE_NAME: &str = "trunkline";
/// Longest time for which a stop waits for the collector.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Fields in which a span states its times.
const TIMES: [&str; 2] = ["begun_unix_us", "ended_unix_us"];

/// Exports spans until it is shut down.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Builds the exporter that the environment configures; `None` if it configures none.
    ///
    /// # Errors
    ///
    /// Fails if a variable has a value that is not allowed. An unreachable collector is not an error.
    pub fn from_environment() -> Result<Option<Self>, ExporterBuildError> {
        let is = |name, value| {
            env::var(name).is_ok_and(|found: String| found.eq_ignore_ascii_case(value))
        };
        let is_set = |name: &&str| env::var(name).is_ok_and(|value| !value.is_empty());
        let is_off = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
        if is_off || !ENDPOINT_VARIABLES.iter().any(is_set) {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_tonic().build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(Backdated {
                inner: exporter,
                is_failing: AtomicBool::new(false),
            });
        Ok(Some(Self(provider.build())))
    }

    /// Returns the layer that receives spans: those of trunkline, at every level except trace.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("trunkline"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer.with_filter(filter_fn(is_exported))
    }

    /// Exports the queued spans, for at most two seconds, and ends.
    pub async fn shutdown(self) {
        let ended = move || self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
        match tokio::task::spawn_blocking(ended).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not exported"),
            Err(error) => tracing::error!(%error, "the exporter of spans failed"),
        }
    }
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("trunkline")
}

/// Returns the description of this process from the environment.
fn resource() -> Resource {
    let resource = Resource::builder().build();
    let name = resource
        .get(&"service.name".into())
        .map(|name| name.to_string());
    match name.is_none_or(|name| name.starts_with("unknown_service")) {
        true => Resource::builder().with_service_name(SERVICE_NAME).build(),
        false => resource,
    }
}

/// Makes a span the child of another program's.
pub fn join(span: &Span, parent: TraceParent) {
    let parent = SpanContext::new(
        TraceId::from_bytes(parent.trace_id.to_be_bytes()),
        SpanId::from_bytes(parent.span_id.to_be_bytes()),
        TraceFlags::new(parent.flags),
        true,
        TraceState::default(),
    );
    // This fails if no layer exports the span, or if it has begun.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Returns the position of a span in its trace; `None` if it is not exported.
pub fn place(span: &Span) -> Option<TraceParent> {
    let context = span.context();
    let place = context.span().span_context().clone();
    place.is_valid().then(|| TraceParent {
        trace_id: u128::from_be_bytes(place.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(place.span_id().to_bytes()),
        flags: place.trace_flags().to_u8(),
    })
}

/// Exports spans with the times that their fields state.
#[derive(Debug)]
struct Backdated {
    inner: SpanExporter,
    is_failing: AtomicBool,
}

impl Export for Backdated {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(backdate);
        let count = batch.len();
        let exported = self.inner.export(batch).await;
        let was_failing = self.is_failing.swap(exported.is_err(), Ordering::Relaxed);
        if let Err(error) = &exported {
            table::spans_lost(SpanLoss::Export).increment(count as u64);
            if !was_failing {
                tracing::warn!(%error, "the collector takes no spans; they are dropped until it does");
            }
        } else if was_failing {
            tracing::info!("the collector takes spans again");
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

fn backdate(span: &mut SpanData) {
    let [begun, ended] = TIMES.map(|name| time(span, name));
    if let (Some(begun), Some(ended)) = (begun, ended) {
        (span.start_time, span.end_time) = (begun, ended);
        span.attributes
            .retain(|attribute| !TIMES.contains(&attribute.key.as_str()));
    }
}

fn time(span: &SpanData, name: &str) -> Option<SystemTime> {
    let attribute = span
        .attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == name)?;
    let Value::I64(unix_us) = attribute.value else {
        return None;
    };
    UNIX_EPOCH.checked_add(Duration::from_micros(u64::try_from(unix_us).ok()?))
}
