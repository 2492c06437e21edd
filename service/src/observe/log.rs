//! Log lines on standard error, as text or JSON, and the receivers of spans.
//!
//! `RUST_LOG` selects the lines (default: `info`): `debug`, `trunkline::group=debug`. Variables that begin with
//! `TRUNKLINE_` belong to the configuration. Other crates never log below the level info, whatever `RUST_LOG` says:
//! HTTP libraries may log the content of requests, including credentials.

use std::env;
use std::io;
use std::str::FromStr;

use tracing::subscriber::{DefaultGuard, set_default, set_global_default};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// The environment variable that selects log lines.
pub const FILTER_VARIABLE: &str = "RUST_LOG";
const FILTER_DEFAULT: &str = "info";

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, spans, target, message, fields.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// A name that is not a form of log lines.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a form of log lines; write \"text\" or \"json\"")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// The reason why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `RUST_LOG` cannot be read.
    #[error(
        "{FILTER_VARIABLE} is not a filter: {0}; write a level (info), or targets with levels (info,trunkline=debug)"
    )]
    Filter(String),
    /// The process already logs.
    #[error(
        "log lines already have another receiver: call observe::log::init once, before anything else does"
    )]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
    /// The exporter of spans cannot be built.
    #[cfg(feature = "otlp")]
    #[error("spans cannot be exported; check the variables OTEL_EXPORTER_OTLP_…")]
    Export(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The receivers of log lines and spans.
#[derive(Debug)]
pub struct Tracing {
    #[cfg(feature = "otlp")]
    exporter: Option<crate::observe::otlp::Exporter>,
}

/// Begins to log to standard error, and to export spans if the environment names a collector (feature `otlp`; needs a
/// tokio runtime then).
///
/// # Errors
///
/// Fails if `RUST_LOG`, or a variable of the exporter, cannot be read, and if the process logs already.
pub fn init(format: Format) -> Result<Tracing, InitError> {
    let filter = env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let lines = lines(format, &filter, io::stderr)?;
    #[cfg(feature = "otlp")]
    {
        let exporter = crate::observe::otlp::Exporter::from_environment()?;
        let spans = exporter.as_ref().map(crate::observe::otlp::Exporter::layer);
        set_global_default(Registry::default().with(spans).with(lines))?;
        Ok(Tracing { exporter })
    }
    #[cfg(not(feature = "otlp"))]
    {
        set_global_default(Registry::default().with(lines))?;
        Ok(Tracing {})
    }
}

/// Writes the log lines of this thread to a writer, until the guard is dropped.
///
/// # Errors
///
/// Fails if the filter cannot be read.
pub fn capture<W>(format: Format, filter: &str, writer: W) -> Result<DefaultGuard, InitError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = lines(format, filter, writer)?;
    Ok(set_default(Registry::default().with(lines)))
}

fn lines<S, W>(
    format: Format,
    filter: &str,
    writer: W,
) -> Result<impl Layer<S> + use<S, W>, InitError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(filter).map_err(|error| InitError::Filter(error.to_string()))?;
    let filter = filter.and(filter_fn(is_safe));
    let lines = fmt::layer().with_writer(writer);
    Ok(match format {
        Format::Text => lines.with_filter(filter).boxed(),
        Format::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            lines.with_filter(filter).boxed()
        }
    })
}

/// Returns whether the lines from this place cannot contain secrets.
pub(super) fn is_safe(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("trunkline")
}

impl Tracing {
    /// Exports the remaining spans, for at most two seconds.
    pub async fn shutdown(self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = self.exporter {
            exporter.shutdown().await;
        }
    }
}
