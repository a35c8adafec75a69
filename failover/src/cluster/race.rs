//! Two futures of one task, without a macro.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// The output of the one that ends first; the other is dropped. The first is polled first.
pub(crate) async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => second.as_mut().poll(cx),
    })
    .await
}
