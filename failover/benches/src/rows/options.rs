//! Each option by itself, in addition to the default policy.

use failover::policy::{Backoff, RetryAfter, SlowCalls};
use std::time::Duration;

use failover::clock::{CoarseClock, FineClock, TokioClock};
use failover::cluster::Cluster;
use failover::monitor::KeyedMonitors;
use failover::policy::{PolicyBuilder, Probing, StallLimit};
use failover::prometheus::Metrics;
use failover::trace::TracingObserver;
use failover::watched::FallbackFailing;
use failover::{FailoverLayer, Monitor, Outcome, Policy, Rescue};
use tower::Layer;

use super::failover::{built, never, of, ratio};
use super::{ANY, FALLBACK, PRIMARY, Row, Way, bare, row};
use crate::peers::{HOUR, MINUTE};
use crate::services::{Tested, failing_fallback, fallback, primary, rescuing_primary};
use crate::subject::Mix;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn policy() -> PolicyBuilder {
    Policy::builder().revert_after(HOUR)
}

fn layer<F>(fallback: F) -> FailoverLayer<F> {
    FailoverLayer::with_fallback(fallback, built(policy()))
}

pub(super) fn last_calls() -> impl Tested {
    of(policy().last_calls(100))
}

fn slow(policy: PolicyBuilder) -> PolicyBuilder {
    policy.slow_calls(SlowCalls::longer_than(SECOND).more_than(ratio(1, 2)))
}

fn stalled(policy: PolicyBuilder) -> PolicyBuilder {
    policy.stalled_calls(SECOND, StallLimit::Calls(100))
}

fn dropped(policy: PolicyBuilder) -> PolicyBuilder {
    policy.dropped_after(SECOND)
}

fn recovering(policy: PolicyBuilder) -> PolicyBuilder {
    policy
        .backoff(Backoff::new(ratio(2, 1)).max(HOUR).reset_after(HOUR))
        .jitter(ratio(1, 10), 1)
        .retry_after(RetryAfter::between(SECOND, HOUR))
        .probing(Probing::new(3))
        .ramp_up(ratio(1, 10), MINUTE)
}

pub(super) fn on_the_primary() -> Vec<Row> {
    let way = Way::SUCCESSES;
    vec![
        bare(way),
        row("none: the default policy", way, || of(policy())),
        row("`last_calls(100)` instead of the time window", way, last_calls),
        row("`window(1 h, 3,600)`", way, || of(policy().window(HOUR, 3_600))),
        row("`consecutive_failures(5)`", way, || of(policy().consecutive_failures(5))),
        row("`slow_calls`", way, || of(slow(policy()))),
        row("`stalled_calls`", way, || of(stalled(policy()))),
        row("`dropped_after`", way, || of(dropped(policy()))),
        row("`slow_calls`, `stalled_calls`, `dropped_after`", way, || {
            of(dropped(stalled(slow(policy()))))
        }),
        row("`dry_run`", way, || of(policy().dry_run())),
        row("`backoff`, `jitter`, `retry_after`, `probing`, `ramp_up`", way, || {
            of(recovering(policy()))
        }),
        row("`classify` by a closure", way, || {
            layer(fallback())
                .classify(|result: &Result<_, _>| match result {
                    Ok(_) => Outcome::Success,
                    Err(_) => Outcome::Failure,
                })
                .layer(primary())
        }),
        row("`named`, `observe`; feature `tracing`", way, || {
            layer(fallback()).named("cost").observe(TracingObserver).layer(primary())
        }),
        row("`rescue`", way, || layer(fallback()).rescue(Rescue::cloning()).layer(primary())),
        row("`watch_fallback`", way, || watched().layer(primary())),
        row("`FineClock`", way, || {
            let monitor = Monitor::with_clock(built(policy()), FineClock);
            FailoverLayer::with_monitor(fallback(), monitor).layer(primary())
        }),
        row("feature `tokio`: `TokioClock`", way, || {
            let monitor = Monitor::with_clock(built(policy()), TokioClock::default());
            FailoverLayer::with_monitor(fallback(), monitor).layer(primary())
        }),
        row("feature `prometheus`: `metered`", way, || {
            layer(fallback()).named("cost").metered(&Metrics::new()).layer(primary())
        }),
        row("the same, on the `CoarseClock`", way, || {
            let metrics = Metrics::with(CoarseClock, [SECOND]);
            layer(fallback()).named("cost").metered(&metrics).layer(primary())
        }),
        row("`on_call`, into a counter", way, || {
            let calls = std::sync::atomic::AtomicU64::new(0);
            let count = move |_: &failover::on_call::Call<'_>| {
                calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            };
            layer(fallback()).named("cost").on_call(count).layer(primary())
        }),
        row("feature `cluster`: a node of three", way, || in_a_cluster().layer(primary())),
        row("`KeyedMonitors` of one key", way, || {
            KeyedMonitors::new(built(policy()), 1).layer(fallback(), |_: &bool| ()).layer(primary())
        }),
    ]
}

fn watched() -> FailoverLayer<failover::watched::WatchedFallback<impl crate::services::Plain>> {
    layer(fallback()).watch_fallback(Policy::default(), FallbackFailing::GoBack)
}

/// A failover that has joined two others. What a beat costs is no cost of a call.
fn in_a_cluster() -> FailoverLayer<impl crate::services::Plain> {
    let layers = [(); 3].map(|()| layer(fallback()).named("cost"));
    let nodes = layers.each_ref().map(|layer| {
        let node = Cluster::builder("cost").build().expect("a sound name");
        node.join(&layer.handle()).expect("a name of its own");
        let port = node.port();
        (node, port)
    });
    for (node, port) in nodes.iter().cycle().take(9) {
        node.beat();
        while let Some(message) = port.try_next() {
            nodes.iter().for_each(|(_, port)| port.deliver(&message));
        }
    }
    let [layer, ..] = layers;
    layer
}

pub(super) fn where_calls_fail() -> Vec<Row> {
    let way = Way::ALL_FAIL;
    let rescued = Way { ends: FALLBACK, ..way };
    vec![
        bare(way),
        row("none: below the minimum of calls", way, || of(never())),
        row("`consecutive_failures`, far away", way, || of(never().consecutive_failures(u32::MAX))),
        row("`slow_calls`", way, || of(slow(never()))),
        row("`stalled_calls`", way, || of(stalled(never()))),
        row("`retry_after`, none given", way, || {
            of(never().retry_after(RetryAfter::between(SECOND, HOUR)))
        }),
        row("`rescue` by the fallback", rescued, || {
            FailoverLayer::with_fallback(fallback(), built(never()))
                .rescue(Rescue::cloning())
                .layer(primary())
        }),
        row("feature `prometheus`: `metered`", way, || {
            let layer = FailoverLayer::with_fallback(fallback(), built(never())).named("cost");
            layer.metered(&Metrics::new()).layer(primary())
        }),
    ]
}

/// The bare call does not fail: it stands for the fallback's.
pub(super) fn on_the_fallback() -> Vec<Row> {
    let way = Way::TRIPPED;
    let forever = || Policy::builder().revert_after(Duration::from_millis(1));
    let returned = Way { mix: Mix::SUCCESSES, ends: ANY, ..way };
    let rescued = Way { ends: PRIMARY, ..way };
    vec![
        bare(way),
        row("none: the default policy", way, || of(policy())),
        row("`watch_fallback`", way, || watched().layer(primary())),
        row("`rescue`", way, || layer(fallback()).rescue(Rescue::cloning()).layer(primary())),
        row("`rescue` `both_ways`, by the primary", rescued, || {
            let rescue = Rescue::cloning().both_ways();
            layer(failing_fallback()).rescue(rescue).layer(rescuing_primary())
        }),
        // Ignored, so that the probing does not end.
        row("`probing`: every call gets a permit, and is ignored", returned, move || {
            let policy = built(forever().probing(Probing::new(1_000)));
            let layer = FailoverLayer::with_fallback(fallback(), policy);
            let ignored = |result: &Result<_, _>| match result {
                Ok(_) => Outcome::Ignored,
                Err(_) => Outcome::Failure,
            };
            layer.classify(ignored).layer(primary())
        }),
        row("`ramp_up`: half of the calls to the primary", returned, move || {
            of(forever().ramp_up(ratio(1, 2), 365 * DAY))
        }),
    ]
}
