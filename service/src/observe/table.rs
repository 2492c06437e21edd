//! The metrics of the service: each is declared once, with its help, kind, unit, name and labels.
//!
//! The macro generates [`TABLE`], and a function for each metric that returns its series. Labels have few values: those
//! that are not an enum are names of routes, status codes, engines or cursors.

use metrics::{Counter, Gauge, Histogram, Label, SharedString, counter, gauge, histogram};
use trunkline::metrics::{Kind, Metric, Unit};

macro_rules! labels {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])+ $variant,)+
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the value of the label.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl From<$name> for SharedString {
            fn from(value: $name) -> Self {
                Self::const_str(value.name())
            }
        }
    )+};
}

labels! {
    /// The protocol of a request.
    Protocol {
        /// HTTP with JSON.
        Http = "http",
        /// gRPC.
        Grpc = "grpc",
    }

    /// The reason why a request was refused, or not answered in time.
    Rejection {
        /// The limits on work in flight are reached.
        Overload = "overload",
        /// Its deadline had passed, or passed while it waited.
        Deadline = "deadline",
        /// It has no valid token or certificate.
        Authentication = "authentication",
        /// Its token does not have the scope.
        Scope = "scope",
        /// Its message is too large, or names too many keys.
        TooLarge = "too_large",
        /// It cannot be read, or has a value that is not allowed.
        Invalid = "invalid",
        /// Its headers `Host` or `Origin` name another server.
        Host = "host",
        /// The service is stopping.
        Draining = "draining",
        /// This server is a replica.
        Replica = "replica",
    }

    /// The reason why a connection was closed before its first request.
    Refusal {
        /// The limit on connections is reached.
        Limit = "limit",
        /// The TLS handshake failed.
        Handshake = "handshake",
        /// The TLS handshake took too long.
        HandshakeTimeout = "handshake_timeout",
    }

    /// The transfer that was given up because the caller took too long.
    Stalled {
        /// The body of a request did not arrive.
        Request = "request",
        /// A response was not accepted.
        Response = "response",
        /// Nothing could be written to the connection.
        Connection = "connection",
    }

    /// The content of a stream.
    Stream {
        /// Versions of the tree.
        Feed = "feed",
        /// Figures for the page.
        Live = "live",
    }

    /// The result of looking an idempotency key up.
    Idempotency {
        /// The key is new.
        New = "new",
        /// The same batch was submitted with it before.
        Repeat = "repeat",
        /// Another batch was submitted with it before.
        Conflict = "conflict",
    }

    /// A file that the running service reads again.
    ReloadedFile {
        /// The configuration.
        Config = "config",
        /// The tokens.
        Tokens = "tokens",
        /// Certificates and keys.
        Tls = "tls",
    }

    /// The result of an attempt.
    Attempt {
        /// It succeeded.
        Success = "success",
        /// It failed, and the old content stays in force.
        Failure = "failure",
    }

    /// The reason why spans were not exported.
    SpanLoss {
        /// The engine's timeline dropped them before they were read.
        Timeline = "timeline",
        /// The collector did not take them.
        Export = "export",
    }

    /// The reason why an engine has failed.
    FailureReason {
        /// A stage or another thread panicked.
        Panic = "panic",
        /// The disk or a store failed under a stage, or a stage found invalid data.
        Stage = "stage",
        /// The directory was replaced, or a second process opened it.
        Replaced = "replaced",
        /// A replica's version differs from what its primary committed.
        Diverged = "diverged",
        /// A checkpoint failed.
        Checkpoint = "checkpoint",
    }
}

macro_rules! table {
    ($($kind:ident($register:ident) of $unit:ident {
        $($(#[doc = $help:literal])+ $field:ident: $name:literal $([$($label:ident: $type:ty),+])?;)+
    })+) => {
        /// Every metric of the service. Those of the engine are in [`trunkline::metrics::TABLE`].
        ///
        /// ```
        /// use trunkline_service::observe::table::{Rejection, TABLE, rejected};
        /// rejected(Rejection::Overload).increment(1);
        /// let row = TABLE.iter().find(|metric| metric.field == "rejected").unwrap();
        /// assert_eq!(row.name, "trunkline_service_rejected_total");
        /// ```
        pub const TABLE: &[Metric] = &[$($(Metric {
            field: stringify!($field),
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$($((stringify!($label), "")),+)?],
            help: concat!($($help),+).trim_ascii(),
        },)+)+];

        $($(
            $(#[doc = $help])+
            pub fn $field($($($label: $type),+)?) -> $kind {
                let labels: Vec<Label> = vec![$($(Label::new(stringify!($label), $label)),+)?];
                $register!($name, labels)
            }
        )+)+
    };
}

table! {
    Counter(counter) of Count {
        /// Requests that ended, by the HTTP status code or the name of the gRPC status. A request whose caller gave up
        /// first counts as `Cancelled`.
        requests: "trunkline_service_requests_total"
            [protocol: Protocol, method: impl Into<SharedString>, code: impl Into<SharedString>];
        /// Requests that were refused, or not answered in time.
        rejected: "trunkline_service_rejected_total" [reason: Rejection];
        /// Connections that were accepted.
        connections_accepted: "trunkline_service_connections_accepted_total";
        /// Connections that were closed before their first request.
        connections_refused: "trunkline_service_connections_refused_total" [reason: Refusal];
        /// Connections that the system could not accept.
        accept_errors: "trunkline_service_accept_errors_total";
        /// Transfers that were given up because the caller took too long.
        stalled: "trunkline_service_stalled_total" [kind: Stalled];
        /// Submissions with an idempotency key.
        idempotency: "trunkline_service_idempotency_total" [result: Idempotency];
        /// Attempts to read a file again while the service runs.
        file_reloads: "trunkline_service_file_reloads_total" [file: ReloadedFile, result: Attempt];
        /// Spans that were lost. The service never waits for them.
        spans_lost: "trunkline_service_spans_lost_total" [reason: SpanLoss];
    }

    Counter(counter) of Bytes {
        /// Bytes of the bodies of requests.
        received_bytes: "trunkline_service_received_bytes_total" [protocol: Protocol];
        /// Bytes of the bodies of responses.
        sent_bytes: "trunkline_service_sent_bytes_total" [protocol: Protocol];
    }

    Gauge(gauge) of Count {
        /// Requests that wait for the head of their response.
        requests_in_flight: "trunkline_service_requests_in_flight";
        /// Connections that are open.
        connections: "trunkline_service_connections";
        /// Streams that are open.
        streams: "trunkline_service_streams" [kind: Stream];
        /// 1 if the service is ready for requests, 0 while it starts, stops or has failed.
        ready: "trunkline_service_ready";
        /// Always 1, with the version of the program.
        build_info: "trunkline_build_info" [version: impl Into<SharedString>];
        /// 1 if the engine has failed for this reason, otherwise 0.
        failure_reason: "trunkline_failure_reason" [engine: impl Into<SharedString>, reason: FailureReason];
        /// The last version that a follower of the log has processed. Newer ones are kept for it.
        cursor_version: "trunkline_cursor_version"
            [engine: impl Into<SharedString>, cursor: impl Into<SharedString>];
        /// 1 if versions that a follower has not read were trimmed, otherwise 0. It must start from a copy of the
        /// state.
        cursor_gap: "trunkline_cursor_gap" [engine: impl Into<SharedString>, cursor: impl Into<SharedString>];
    }

    Gauge(gauge) of Bytes {
        /// Bytes of messages that were received or are expected.
        request_bytes_in_flight: "trunkline_service_request_bytes_in_flight";
        /// Bytes of log segments that may be kept for cursors (`log.held_bytes_max`).
        log_held_bytes_max: "trunkline_log_held_bytes_max" [engine: impl Into<SharedString>];
        /// Bytes not covered by a checkpoint at which commits wait (`checkpoint.unflushed_bytes_max`).
        unflushed_bytes_max: "trunkline_unflushed_bytes_max" [engine: impl Into<SharedString>];
    }

    Gauge(gauge) of Seconds {
        /// Time at which the certificate of the service expires, since 1970.
        certificate_expiry: "trunkline_service_certificate_expiry_timestamp_seconds";
        /// Target of the 99th percentile from acceptance to durability (`control.target_p99_ms`).
        durable_target: "trunkline_durable_target_seconds" [engine: impl Into<SharedString>];
    }

    Histogram(histogram) of Seconds {
        /// Time from the head of a request to the head of its response.
        request_seconds: "trunkline_service_request_seconds"
            [protocol: Protocol, method: impl Into<SharedString>];
    }
}

/// Sets every series whose labels are known from the start to 0, so that the first event appears as an increase.
pub(super) fn begin() {
    Rejection::ALL
        .iter()
        .for_each(|reason| zero(&rejected(*reason)));
    Refusal::ALL
        .iter()
        .for_each(|reason| zero(&connections_refused(*reason)));
    Idempotency::ALL
        .iter()
        .for_each(|result| zero(&idempotency(*result)));
    SpanLoss::ALL
        .iter()
        .for_each(|reason| zero(&spans_lost(*reason)));
    for file in ReloadedFile::ALL {
        Attempt::ALL
            .iter()
            .for_each(|result| zero(&file_reloads(*file, *result)));
    }
    for protocol in Protocol::ALL {
        zero(&received_bytes(*protocol));
        zero(&sent_bytes(*protocol));
    }
    Stream::ALL.iter().for_each(|kind| streams(*kind).set(0));
    Stalled::ALL.iter().for_each(|kind| zero(&stalled(*kind)));
    zero(&connections_accepted());
    zero(&accept_errors());
    for gauge in [
        requests_in_flight(),
        connections(),
        ready(),
        request_bytes_in_flight(),
    ] {
        gauge.set(0);
    }
    build_info(env!("CARGO_PKG_VERSION")).set(1);
}

fn zero(counter: &Counter) {
    counter.absolute(0);
}
