//! Archives of real engines: in directories, in memory with faults at every call, and on an S3 server.

mod backup;
mod failover;
mod faults;
mod faulty;
mod follow;
mod properties;
mod prune;
mod restore;
mod s3;
mod support;
mod verify;
