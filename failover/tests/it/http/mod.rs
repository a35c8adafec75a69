//! Feature `http`: outcomes by status and by the end of the body.

mod body;
mod end;
mod grpc;
#[cfg(feature = "prometheus")]
mod metered;
mod on_call;
mod rescue;
mod retry_after;
mod route;
mod status;
