//! gRPC: the protocol's services on top of the handlers.

mod health;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use futures_util::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTORS;
use tonic_health::pb::health_server::HealthServer;

use crate::api::{Api, Call};
use crate::error::ServiceError;
use crate::proto::admin_server::{Admin, AdminServer};
use crate::proto::trunkline_server::{Trunkline, TrunklineServer};
use crate::proto::{self, DESCRIPTORS};

/// The trailer with the stable code of an error.
pub(crate) const CODE_HEADER: &str = "trunkline-code";
/// The trailer with the time after which a retry can help, in milliseconds.
pub(crate) const RETRY_HEADER: &str = "trunkline-retry-after-ms";

/// Returns the gRPC services.
pub(crate) fn routes(api: Arc<Api>) -> Router {
    let message_bytes_max = api.config.message_bytes_max;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(HEALTH_DESCRIPTORS)
        .build_v1()
        .expect("the descriptors are compiled in");
    let trunkline = TrunklineServer::new(Handlers(api.clone()))
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(usize::MAX);
    let mut routes = Routes::builder();
    routes
        .add_service(trunkline)
        .add_service(AdminServer::new(Handlers(api.clone())))
        .add_service(HealthServer::new(health::Health(api)))
        .add_service(reflection);
    routes.routes().into_axum_router()
}

#[derive(Clone, Debug)]
struct Handlers(Arc<Api>);

/// Returns the context that admission has stored.
fn call<T>(request: &Request<T>) -> Result<Call, Status> {
    let call = request.extensions().get::<Call>().cloned();
    call.ok_or_else(|| Status::internal("the request was not admitted; this is a bug in trunkline"))
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        error.count();
        let mut status = Self::new(error.code.grpc_code(), error.message);
        let metadata = status.metadata_mut();
        metadata.insert(
            CODE_HEADER,
            tonic::metadata::MetadataValue::from_static(error.code.text()),
        );
        if let Some(after) = error.retry_after {
            metadata.insert(RETRY_HEADER, (after.as_millis() as u64).into());
        }
        status
    }
}

/// Calls the handler of a request.
macro_rules! unary {
    ($self:ident, $request:ident, $handler:ident) => {{
        let call = call(&$request)?;
        let reply = $self.0.$handler(&call, $request.into_inner()).await?;
        Ok(Response::new(reply))
    }};
}

#[tonic::async_trait]
impl Trunkline for Handlers {
    async fn submit(
        &self,
        request: Request<proto::SubmitRequest>,
    ) -> Result<Response<proto::SubmitReply>, Status> {
        unary!(self, request, submit)
    }

    async fn preview(
        &self,
        request: Request<proto::PreviewRequest>,
    ) -> Result<Response<proto::PreviewReply>, Status> {
        unary!(self, request, preview)
    }

    async fn get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetReply>, Status> {
        unary!(self, request, get)
    }

    async fn range(
        &self,
        request: Request<proto::RangeRequest>,
    ) -> Result<Response<proto::RangeReply>, Status> {
        unary!(self, request, range)
    }

    async fn prove(
        &self,
        request: Request<proto::ProveRequest>,
    ) -> Result<Response<proto::ProveReply>, Status> {
        unary!(self, request, prove)
    }

    async fn get_root(
        &self,
        request: Request<proto::GetRootRequest>,
    ) -> Result<Response<proto::RootReply>, Status> {
        unary!(self, request, root)
    }

    async fn list_versions(
        &self,
        request: Request<proto::ListVersionsRequest>,
    ) -> Result<Response<proto::VersionsReply>, Status> {
        unary!(self, request, versions)
    }

    async fn prove_ancestor(
        &self,
        request: Request<proto::ProveAncestorRequest>,
    ) -> Result<Response<proto::ProofBytes>, Status> {
        unary!(self, request, prove_ancestor)
    }

    async fn prove_consistency(
        &self,
        request: Request<proto::ProveConsistencyRequest>,
    ) -> Result<Response<proto::ProofBytes>, Status> {
        unary!(self, request, prove_consistency)
    }

    async fn prove_submission(
        &self,
        request: Request<proto::ProveSubmissionRequest>,
    ) -> Result<Response<proto::ProofBytes>, Status> {
        unary!(self, request, prove_submission)
    }

    async fn prove_audit(
        &self,
        request: Request<proto::ProveAuditRequest>,
    ) -> Result<Response<proto::ProofBytes>, Status> {
        unary!(self, request, prove_audit)
    }

    type FeedStream = Pin<Box<dyn Stream<Item = Result<proto::FeedEntry, Status>> + Send>>;

    async fn feed(
        &self,
        request: Request<proto::FeedRequest>,
    ) -> Result<Response<Self::FeedStream>, Status> {
        let feed = self.0.feed(request.into_inner())?;
        let entries = feed.map(|entry| entry.map_err(Status::from));
        Ok(Response::new(Box::pin(entries)))
    }

    async fn get_status(
        &self,
        _request: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::StatusReply>, Status> {
        Ok(Response::new(self.0.status()))
    }
}

#[tonic::async_trait]
impl Admin for Handlers {
    async fn get_config(
        &self,
        _request: Request<proto::GetConfigRequest>,
    ) -> Result<Response<proto::ConfigReply>, Status> {
        Ok(Response::new(self.0.config()?))
    }

    async fn reload(
        &self,
        _request: Request<proto::ReloadRequest>,
    ) -> Result<Response<proto::ConfigReply>, Status> {
        Ok(Response::new(self.0.reload()?))
    }

    async fn revert(
        &self,
        request: Request<proto::RevertRequest>,
    ) -> Result<Response<proto::SubmitReply>, Status> {
        unary!(self, request, revert)
    }

    async fn get_decisions(
        &self,
        request: Request<proto::GetDecisionsRequest>,
    ) -> Result<Response<proto::DecisionsReply>, Status> {
        Ok(Response::new(self.0.decisions(request.get_ref())?))
    }
}

/// Returns an error as a response without a body, for errors that occur before the handlers.
pub(crate) fn refusal(error: ServiceError) -> axum::response::Response {
    Status::from(error).into_http()
}
