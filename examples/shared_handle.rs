//! An operator's task: forces a route and swaps the policy while calls go on, logs events, and
//! serves metrics.
//!
//! `cargo run -p examples --example shared_handle`

use std::io;
use std::time::Duration;

use failover::event::Cause;
use failover::prometheus::Metrics;
use failover::{Event, FailoverHandle, FailoverLayer, Policy, Route};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

/// The commands of an operator, as by a page or a signal.
enum Order {
    Force(Route),
    Release,
    Swap(Box<Policy>),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let broken = service_fn(async |_: u32| Err::<&str, _>(io::Error::other("down")));
    let sound = service_fn(async |_: u32| Ok::<_, io::Error>("the fallback"));
    let layer = FailoverLayer::with_fallback(sound, Policy::default()).named("valuations");
    let handle = layer.handle();
    let metrics = Metrics::new();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut service = layer.metered(&metrics).layer(broken);

    // Events are queued for the operator; calls never wait.
    let (sender, events) = mpsc::unbounded_channel();
    handle.observe(move |event: &Event| {
        // An error if the operator has gone.
        let _ = sender.send(event.clone());
    });
    let (order, orders) = mpsc::channel(1);
    let operator = tokio::spawn(operate(handle.clone(), events, orders));

    println!("the operator knows of work on the primary");
    order.send(Order::Force(Route::Fallback)).await?;
    until(&handle, |handle| handle.snapshot().forced).await;
    println!("a call is answered by {}", service.ready().await?.call(0).await?);
    order.send(Order::Release).await?;
    until(&handle, |handle| !handle.snapshot().forced).await;

    println!("six calls fail; the policy waits for ten");
    for number in 0..6 {
        let _ = service.ready().await?.call(number).await;
    }
    let strict =
        Policy::builder().minimum_calls(5).revert_after(Duration::from_secs(30)).build()?;
    order.send(Order::Swap(Box::new(strict.clone()))).await?;
    until(&handle, |handle| handle.policy() == strict).await;
    println!("a call is answered by {}", service.ready().await?.call(6).await?);

    println!("half a minute later");
    handle.advance(Duration::from_secs(30));
    let _ = service.ready().await?.call(7).await;
    until(&handle, |handle| handle.snapshot().route == Route::Primary).await;

    println!("a scrape:");
    let mut page = String::new();
    encode(&mut page, &registry)?;
    let durations = |line: &&str| line.contains("duration") || line.starts_with('#');
    // The usual transitions are there from the start, at 0.
    let expected = |line: &&str| line.contains("transitions") && line.ends_with(" 0");
    let shown = page.lines().filter(|line| !durations(line) && !expected(line));
    shown.for_each(|line| println!("  {line}"));

    // The events end when the last service and handle are gone.
    drop((service, handle, order, registry, metrics));
    operator.await?;
    Ok(())
}

async fn operate(
    handle: FailoverHandle,
    mut events: mpsc::UnboundedReceiver<Event>,
    mut orders: mpsc::Receiver<Order>,
) {
    // Dropped after the last command, since a handle keeps the failover alive.
    let mut handle = Some(handle);
    loop {
        tokio::select! {
            // In this order, so that events are logged before the next command runs.
            biased;
            event = events.recv() => match event {
                Some(event) => log(&event),
                None => return println!("log: the failover is gone"),
            },
            order = orders.recv(), if handle.is_some() => match (order, &handle) {
                (Some(order), Some(handle)) => carry_out(order, handle),
                _ => handle = None,
            },
        }
    }
}

fn carry_out(order: Order, handle: &FailoverHandle) {
    match order {
        Order::Force(route) => {
            handle.force(route);
        }
        Order::Release => {
            handle.release();
        }
        Order::Swap(policy) => {
            let old = handle.swap_policy(*policy);
            println!("log: the policy asked for {} calls until now", old.minimum_calls());
        }
    }
}

fn log(event: &Event) {
    let detail = match event.cause {
        Cause::Tripped { tally, revert_after, .. } => {
            format!(": {} of {} calls failed, for {revert_after:?}", tally.failures, tally.calls())
        }
        _ => String::new(),
    };
    let (from, to) = (event.from.as_str(), event.to.as_str());
    println!("log: {}: {from} to {to}{detail}", event.cause.as_str());
}

/// Yields until the condition is met.
async fn until(handle: &FailoverHandle, condition: impl Fn(&FailoverHandle) -> bool) {
    while !condition(handle) {
        tokio::task::yield_now().await;
    }
    // Then until the log is written.
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}
