//! Feature `http`: outcomes by status and by the end of the body, for HTTP and gRPC.
//!
//! # Why the head does not decide
//! A response that begins with a 200 may still break off. The result of a call, which
//! [`Failover`](crate::service::Failover) sees, is the head of the response; [`HttpFailover`] wraps
//! the body and records the call at its end. A failure in the head is final and recorded at once,
//! and so is a response without a body.
//!
//! | event | recorded |
//! |---|---|
//! | the call ends with an error instead of a response | by the head's classifier, usually a failure |
//! | the status is a failure, or ignored | at the head, as that |
//! | `grpc-status` in the head (see [`HttpClassify::grpc`]) | at the head, by the code |
//! | the body ends | success; with gRPC by the trailers' code, or as `UNKNOWN` if they have none |
//! | the body breaks off with an error | failure |
//! | the body panics, in `poll_frame`, `is_end_stream` or `size_hint` | failure, when it is dropped |
//! | the body is dropped by a reader that waits for more | neutral, and shown as [dropped](crate::monitor::Tally::dropped) like any dropped call; see [`HttpClassify::abandoned`] |
//! | the body is dropped by a reader that does not wait, or never read | success; with gRPC neutral, since the code has not arrived |
//!
//! Each call is recorded at most once.
//!
//! # Cost
//! No box and no lock. The body is the service's own plus at most 96 bytes, and each frame costs a
//! few branches: with one frame, about 20 ns per call more than a
//! [`Failover`](crate::service::Failover) that classifies heads. Storing the route and the tiers in
//! empty extensions takes four allocations, about 90 ns; see
//! [`HttpFailoverLayer::without_route_extension`]. gRPC costs a lookup in the head and one in the
//! trailers; only a failure's head is searched for `Retry-After`.
//!
//! # With rescue
//! [`HttpFailoverLayer::rescue`] decides by the head, before the caller sees it. A response whose head
//! is good is watched to the end of its body as described above.

mod body;
mod classify;
mod end;
mod future;
mod grpc;
mod layer;
#[cfg(feature = "prometheus")]
mod metered;
mod on_call;
mod rescue;
mod retry_after;
mod service;
mod tiers;

pub use body::HttpBody;
pub use classify::{ByHead, Head, HttpClassify, ServerErrorsAsFailures};
pub use end::ObservedBody;
pub use future::HttpFuture;
pub use grpc::{GrpcCode, GrpcErrorsAsFailures};
pub use layer::HttpFailoverLayer;
pub use rescue::{ByHttp, HttpRescuing, SafeRequests};
pub use retry_after::retry_after;
pub use service::HttpFailover;
pub use tiers::{Tier, Tiers};
