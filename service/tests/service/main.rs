//! The service over its two interfaces, without a network.

mod admission;
mod grpc;
mod http;
mod openapi;
mod page;
mod range;
mod support;
