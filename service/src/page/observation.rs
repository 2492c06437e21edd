//! The data that the page shows.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use trunkline::Span;
use trunkline::decisions::{Decision, Window};

/// Most windows in one event: 50 seconds with the default length.
const WINDOWS_MAX: usize = 100;
/// Most decisions in one event.
const DECISIONS_MAX: usize = 100;
/// Most spans in one event: 40 versions.
const SPANS_MAX: usize = 200;

/// The subject of the page. It does not change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The time at which the engine was opened, in milliseconds since 1970. Another time means another process.
    pub began_unix_ms: u64,
    /// Name of the engine, or of the run.
    pub title: String,
    /// True if the service answers `/v1/prove` and similar paths, so that the page can verify.
    pub has_proofs: bool,
}

/// The position up to which a client has seen everything. Its text is the id of an event.
///
/// ```
/// use trunkline_service::page::Position;
/// let position = Position { began_unix_ms: 7, window: 3, decision: 2, span: 90 };
/// assert_eq!(position.to_string(), "7-3-2-90");
/// assert_eq!("7-3-2-90".parse(), Ok(position));
/// assert!("7-3-2".parse::<Position>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The process, identified by [`About::began_unix_ms`].
    pub began_unix_ms: u64,
    /// Number of the last window.
    pub window: u64,
    /// Number of the last decision.
    pub decision: u64,
    /// Position after the last span.
    pub span: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            began_unix_ms,
            window,
            decision,
            span,
        } = self;
        write!(formatter, "{began_unix_ms}-{window}-{decision}-{span}")
    }
}

/// The error of a text that is not the id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an event of this stream")]
pub struct ParsePositionError;

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let numbers: Result<Vec<u64>, _> = text.splitn(5, '-').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[began_unix_ms, window, decision, span]) => Ok(Self {
                began_unix_ms,
                window,
                decision,
                span,
            }),
            _ => Err(ParsePositionError),
        }
    }
}

/// The state of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Time since the engine was opened, in microseconds: the clock of windows, decisions and spans.
    pub uptime_us: u64,
    /// `primary`, `replica` or `single`; none if it is not a service.
    pub role: Option<&'static str>,
    /// Id of the tree, hex.
    pub tree_id: Option<String>,
    /// Newest durable version.
    pub durable_version: u64,
    /// Newest synced version.
    pub synced_version: u64,
    /// Oldest version that is kept.
    pub oldest_version: u64,
    /// Keys present at the newest durable version.
    pub key_count: u64,
    /// Epoch of the stream, or of the last record.
    pub epoch: u64,
    /// A line for people, such as the stage of a run; may be empty.
    pub note: String,
    /// The reason why it stopped, if it did.
    pub failure: Option<String>,
    /// True if new work is refused, because the process stops.
    pub is_draining: bool,
}

/// A follower or a followed process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `replica`, `carrier`, `primary` or `cursor`.
    pub kind: &'static str,
    /// The last version that it is known to have.
    pub version: u64,
    /// Number of versions that it lacks; for a primary: that this replica lacks.
    pub lag_versions: u64,
    /// Time since its last message, in milliseconds, if that is known.
    pub silence_ms: Option<u64>,
}

/// A part of the memory of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryOwner {
    /// Its name, for people.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// The limit in bytes, if there is one.
    pub bytes_max: Option<u64>,
}

/// A decision in its displayed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionLine {
    /// Number of the decision.
    pub number: u64,
    /// The time at which it took effect, in microseconds since the engine was opened.
    pub at_us: u64,
    /// The change, as a line.
    pub change: String,
    /// The reason, in words.
    pub reason: String,
    /// The measurements behind it, in words, if it has its own.
    pub evidence: Option<String>,
    /// 99th percentile of the latency on which it is based, in microseconds.
    pub durable_p99_us: u64,
    /// Target for this percentile, in microseconds.
    pub target_p99_us: u64,
}

/// Longest change that is shown, in bytes. The list of hot prefixes can be long.
const CHANGE_MAX: usize = 160;

impl DecisionLine {
    fn of(decision: &Decision) -> Self {
        let mut change = decision.change.to_string();
        let end = change.floor_char_boundary(CHANGE_MAX);
        if end < change.len() {
            change.truncate(end);
            change.push('…');
        }
        Self {
            number: decision.number,
            at_us: decision.at_us,
            change,
            reason: decision.reason.to_string(),
            evidence: decision.seen.evidence.map(|evidence| evidence.to_string()),
            durable_p99_us: decision.seen.durable_p99_us,
            target_p99_us: decision.seen.target_p99_us,
        }
    }
}

/// The figures after a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The current state.
    pub status: Status,
    /// Windows, oldest first.
    pub windows: Vec<Window>,
    /// Decisions, oldest first.
    pub decisions: Vec<Decision>,
    /// Spans, oldest first.
    pub spans: Vec<Span>,
    /// Position after the last span.
    pub spans_end: u64,
    /// Followers, or followed processes.
    pub members: Vec<Member>,
    /// The memory of the process, by owner.
    pub memory: Vec<MemoryOwner>,
}

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Step {
    status: Status,
    windows: Vec<Window>,
    decisions: Vec<DecisionLine>,
    spans: Vec<Span>,
    members: Vec<Member>,
    memory: Vec<MemoryOwner>,
}

impl Observation {
    /// Returns an event of bounded size, moves the position after it, and says whether there is more already.
    pub(super) fn step(mut self, position: &mut Position) -> (Step, bool) {
        let is_cut = self.windows.len() > WINDOWS_MAX || self.decisions.len() > DECISIONS_MAX;
        self.windows.truncate(WINDOWS_MAX);
        self.decisions.truncate(DECISIONS_MAX);
        // Only the newest spans are shown.
        let older = self.spans.len().saturating_sub(SPANS_MAX);
        self.spans.drain(..older);
        let last = |at: u64, of: Option<u64>| of.unwrap_or(at).max(at);
        position.window = last(position.window, self.windows.last().map(|last| last.number));
        let decided = self.decisions.last().map(|last| last.number);
        position.decision = last(position.decision, decided);
        position.span = position.span.max(self.spans_end);
        let step = Step {
            decisions: self.decisions.iter().map(DecisionLine::of).collect(),
            status: self.status,
            windows: self.windows,
            spans: self.spans,
            members: self.members,
            memory: self.memory,
        };
        (step, is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_bounded_and_nothing_is_left_out_between_two() {
        let windows: Vec<Window> = (1..=250)
            .map(|number| Window {
                number,
                ..Window::default()
            })
            .collect();
        let mut position = Position::default();
        let mut seen = Vec::new();
        loop {
            let observation = Observation {
                windows: windows[position.window as usize..].to_vec(),
                ..Observation::default()
            };
            let (step, has_more) = observation.step(&mut position);
            assert!(step.windows.len() <= WINDOWS_MAX);
            seen.extend(step.windows.iter().map(|window| window.number));
            if !has_more {
                break;
            }
        }
        assert_eq!(seen, (1..=250).collect::<Vec<u64>>());
    }

    #[test]
    fn a_position_never_moves_back() {
        let mut position = Position {
            began_unix_ms: 1,
            window: 5,
            decision: 6,
            span: 7,
        };
        let before = position;
        let (_, has_more) = Observation::default().step(&mut position);
        assert_eq!((position, has_more), (before, false));
    }

    #[test]
    fn ids_of_others_are_refused() {
        for text in [
            "",
            "1-2-3",
            "1-2-3-4-5",
            "1-2-3--4",
            "a-1-2-3",
            "1-2-3-99999999999999999999",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
