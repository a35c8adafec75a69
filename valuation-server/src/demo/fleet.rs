//! The demo of a fleet: it waits for its end, or plays its story.

use std::future::Future;

use super::fleet_stage::Stage;
use super::{DemoError, fleet_outage, say};
use crate::app::Ended;
use crate::cli::{DemoArgs, Scenario};

/// Runs the demo until `shutdown` is ready, or until the end of its story.
pub(super) async fn run(
    args: &DemoArgs,
    nodes: u8,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Ended, DemoError> {
    let mut stage = Stage::set(args, nodes).await?;
    let story = match args.scenario {
        None => {
            say(&stage.what_to_try());
            shutdown.await;
            Ok(())
        }
        Some(Scenario::Outage) => {
            let revert_after = stage.nodes[0].providers.config().revert_after;
            tokio::select! {
                story = fleet_outage::play(&mut stage, revert_after) => story,
                () = shutdown => Ok(()),
            }
        }
    };
    let ended = stage.end().await?;
    story.map(|()| ended)
}
