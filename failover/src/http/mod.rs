//! Feature `http`: outcomes by status and by the end of the body, for HTTP and gRPC.
//!
//! # Why the head is not the outcome
//! An answer that begins with a 200 may still break off. [`Failover`](crate::service::Failover) knows the
//! result of a call, and that is the head of the answer; [`HttpFailover`] wraps the body as well
//! and records when it has ended. A head that is a failure already is recorded at once, since no
//! body can make it good, and so is one without a body.
//!
//! | what happens | recorded |
//! |---|---|
//! | no answer: the call ends with an error | by the head's classifier, as a rule a failure |
//! | the status says failure, or ignored | at the head, as that |
//! | `grpc-status` in the head (see [`HttpClassify::grpc`]) | at the head, by the code |
//! | the body ends | success; with gRPC by the trailers' code, and `UNKNOWN` where none came |
//! | the body breaks off with an error | failure |
//! | the body panics, also when it is asked for its end or its size | failure, when it is dropped |
//! | the body is dropped by a reader that waited for more of it | nothing, as any dropped call; see [`HttpClassify::abandoned`] |
//! | the body is dropped by a reader that had enough, or never read | success; with gRPC nothing, since the code has not come |
//!
//! Each call is recorded at most once, whatever follows.
//!
//! # What it costs
//! No box and no lock: the body that the caller gets is the service's own with 96 bytes or less beside it,
//! and each frame costs a few branches. Measured over a body of one frame, that is some 20 ns a
//! call above a [`Failover`](crate::service::Failover) that decides by the head. The route in the
//! response's extensions costs allocations, some 80 ns, where they were empty;
//! [`HttpFailoverLayer::without_route_extension`] saves them, and [`HttpBody::route`] says it for
//! nothing. gRPC costs a look-up in the head and one in the trailers.
//!
//! # With the rest
//! A [`Rescue`](crate::service::rescue::Rescue) has to decide before the caller sees a head. With
//! [`HttpClassify`] as the classifier of a [`FailoverLayer`](crate::service::layer::FailoverLayer) it rescues by
//! the head, and nothing watches the body.

mod body;
mod classify;
mod end;
mod future;
mod grpc;
mod layer;
#[cfg(feature = "prometheus")]
mod metered;
mod retry_after;
mod service;

pub use body::HttpBody;
pub use classify::{ByStatus, HttpClassify, ServerErrorsAsFailures};
pub use future::HttpFuture;
pub use grpc::{GrpcCode, GrpcErrorsAsFailures};
pub use layer::HttpFailoverLayer;
#[cfg(feature = "prometheus")]
pub use metered::{HttpMetered, HttpMeteredFuture, HttpMeteredLayer, MeteredBody};
pub use retry_after::retry_after;
pub use service::HttpFailover;
