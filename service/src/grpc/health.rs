//! The gRPC health service, with the same answer as `/ready`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use crate::api::Api;

/// Time between two checks for watching clients.
const LOOK: Duration = Duration::from_millis(200);
/// The service names that a caller may ask about.
const NAMES: [&str; 3] = [
    "",
    "trunkline.service.v1.Trunkline",
    "trunkline.service.v1.Admin",
];

#[derive(Debug)]
pub(super) struct Health(pub(super) Arc<Api>);

fn known(request: &HealthCheckRequest) -> Result<(), Status> {
    match NAMES.contains(&&*request.service) {
        true => Ok(()),
        false => Err(Status::not_found("there is no such service")),
    }
}

fn status(api: &Api) -> ServingStatus {
    match api.ready() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

fn reply(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        known(request.get_ref())?;
        Ok(Response::new(reply(status(&self.0))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        known(request.get_ref())?;
        let place = self.0.stream_place()?;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = Watch {
            api: self.0.clone(),
            looks,
            before: None,
            _place: place,
        };
        let changes = futures_util::stream::unfold(watch, |mut watch| async {
            let status = watch.changed().await?;
            Some((Ok(reply(status)), watch))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// A watching client.
struct Watch {
    api: Arc<Api>,
    looks: Interval,
    before: Option<ServingStatus>,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// Waits until the status changes. When the service stops, it reports that, and then nothing more.
    async fn changed(&mut self) -> Option<ServingStatus> {
        loop {
            self.looks.tick().await;
            let status = status(&self.api);
            if self.before.replace(status) != Some(status) {
                return Some(status);
            }
            if self.api.is_draining() {
                return None;
            }
        }
    }
}
