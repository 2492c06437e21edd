//! The stream of the page's figures, as server-sent events.
//!
//! Nothing is queued for a client: an event is made when the connection has room for it. A slow client gets what is
//! still kept by then, and misses the rest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::observation::{About, Observation, Position};
use crate::error::{Code, ServiceError};
use crate::observe::held::Held;
use crate::observe::table::{self, Stream as StreamKind};

/// Time between two events. Each is also a sign of life.
const TICK: Duration = Duration::from_millis(500);

type Observe = Box<dyn Fn(&Position) -> Observation + Send + Sync>;

/// The source of the page's figures, and the limit on clients.
pub struct Live {
    about: About,
    /// One permit for each client.
    places: Arc<Semaphore>,
    observe: Observe,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Live");
        shown.field("about", &self.about).finish_non_exhaustive()
    }
}

impl Live {
    /// Creates a stream. `observe` returns the figures after a position. It is called twice per second for each client,
    /// and must not block.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use trunkline_service::page::{self, About, Live, Observation};
    ///
    /// let about = About { began_unix_ms: 0, title: "a run".to_owned(), has_proofs: false };
    /// let places = Arc::new(tokio::sync::Semaphore::new(8));
    /// let live = Live::new(about, places, |position| Observation::default());
    /// let router = page::routes(Arc::new(live), |route| route);
    /// # drop(router);
    /// ```
    pub fn new(
        about: About,
        places: Arc<Semaphore>,
        observe: impl Fn(&Position) -> Observation + Send + Sync + 'static,
    ) -> Self {
        Self {
            about,
            places,
            observe: Box::new(observe),
        }
    }

    /// Returns the position at which a client begins: after the figures that it has seen, or at the beginning if those
    /// came from another process.
    fn resume(&self, seen: Option<Position>) -> Position {
        let began_unix_ms = self.about.began_unix_ms;
        let of_this = seen.filter(|seen| seen.began_unix_ms == began_unix_ms);
        of_this.unwrap_or(Position {
            began_unix_ms,
            ..Position::default()
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The id of the last event that was seen, for clients that cannot set the header `last-event-id`.
    after: Option<String>,
}

/// Sends `hello` with the subject, then a `step` twice per second.
pub(super) async fn stream(
    State(live): State<Arc<Live>>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ServiceError> {
    let invalid = |message: String| ServiceError::new(Code::InvalidRequest, message);
    let Query(asked) = asked.map_err(|rejection| invalid(rejection.body_text()))?;
    let header = headers.get("last-event-id");
    let seen = match header.map(|id| id.to_str().unwrap_or("?").to_owned()) {
        Some(id) => Some(id),
        None => asked.after,
    };
    let seen = seen.filter(|id| !id.is_empty()).map(|id| id.parse());
    let seen: Option<Position> = seen
        .transpose()
        .map_err(|error| invalid(format!("the id of the last event: {error}")))?;
    let place = live.places.clone().try_acquire_owned();
    let place = place.map_err(|_| ServiceError::overloaded())?;
    let mut response = Sse::new(events(live, seen, place)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer responses would delay events.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    Ok(response)
}

/// A client.
struct Client {
    live: Arc<Live>,
    position: Position,
    phase: Phase,
    ticks: Interval,
    _place: OwnedSemaphorePermit,
    _counted: Held,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Hello,
    /// There are more figures than fit into one event.
    CatchUp,
    Follow,
    Over,
}

fn events(
    live: Arc<Live>,
    seen: Option<Position>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let client = Client {
        position: live.resume(seen),
        live,
        phase: Phase::Hello,
        ticks,
        _place: place,
        _counted: Held::add(table::streams(StreamKind::Live), 1),
    };
    unfold(client, |mut client| async move {
        let event = client.next().await?;
        Some((Ok(event), client))
    })
}

impl Client {
    async fn next(&mut self) -> Option<Event> {
        match self.phase {
            Phase::Over => return None,
            Phase::Hello => {
                self.phase = Phase::CatchUp;
                return Some(event("hello", &self.live.about));
            }
            Phase::CatchUp => {}
            Phase::Follow => {
                self.ticks.tick().await;
            }
        }
        let observation = (self.live.observe)(&self.position);
        let is_draining = observation.status.is_draining;
        let (step, has_more) = observation.step(&mut self.position);
        self.phase = match (is_draining, has_more) {
            // A stop does not wait for pages.
            (true, _) => Phase::Over,
            (false, true) => Phase::CatchUp,
            (false, false) => Phase::Follow,
        };
        Some(event("step", &step).id(self.position.to_string()))
    }
}

/// Returns an event. Its data are structs of texts and numbers, which always have a JSON form.
fn event<T: serde::Serialize>(name: &str, data: &T) -> Event {
    let event = Event::default().event(name).json_data(data);
    event.unwrap_or_else(|error| Event::default().comment(error.to_string()))
}
