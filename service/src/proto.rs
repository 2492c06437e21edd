//! The messages of the protocol, generated.
#![allow(missing_docs, clippy::all)]

tonic::include_proto!("trunkline.service.v1");

/// The descriptors that reflection serves.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
