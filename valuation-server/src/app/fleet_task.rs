//! Runs this node of the cluster, from the start to the stop.

use std::time::Duration;

use failover::clock::Clock;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::carrier::Carrier;
use super::fleet::BusLog;
use super::switch::Providers;

/// How often the bus and the trust in its own evidence are looked at: as often as the node publishes.
const EVERY: Duration = Duration::from_millis(200);

/// Connects the node until `stop`, and tells the others then. Without a cluster it ends at once.
pub(super) async fn run<Clk: Clock>(
    providers: Providers<Clk>,
    carrier: Option<Carrier>,
    stop: CancellationToken,
) {
    let (Some(fleet), Some(carrier)) = (&providers.fleet, carrier) else { return };
    let looks = async {
        let (mut log, mut ticks) = (BusLog::default(), interval(EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            log.look(fleet);
            let attempts = &providers.attempts;
            let now = attempts.clock.now();
            fleet.set_doubt(attempts.doubts.look(&providers.fallback(), now));
        }
    };
    tokio::select! {
        () = fleet.cluster.run(carrier, sleep, stop.cancelled()) => {}
        () = looks => {}
    }
}
