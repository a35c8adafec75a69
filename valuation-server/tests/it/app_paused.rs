//! A pause of our own process is not the provider's failure.

use std::time::Duration;

use valuation_server::demo::simulator::{Fault, Mode};

use crate::http_harness::{Client, put};
use crate::process_harness::Rig;

/// A stopped process can't be stopped on a clock of the test's: it is stopped for 2 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_while_the_process_was_stopped_is_logged_as_ours_and_does_not_count() {
    // Any failure that counts fails over.
    let flags = ["--provider-timeout", "1s", "--min-calls", "1", "--failure-rate", "0"];
    let mut rig = Rig::start(Fault::always(Mode::Hang), &flags).await;
    let mut client = rig.put_in_flight().await;
    let process = &mut rig.process;
    process.signal("STOP");
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.supercar.set_fault(Fault::NONE);
    process.signal("CONT");
    let line = process.until_logged("LOCAL").await;
    assert!(line.contains("does not count against the provider"), "{line}");
    client.answer().await;

    // SuperCar is still the one that is asked.
    let mut client = Client::connect(process.address).await;
    client.send(&put("/valuations/AA98BCD", "{\"mileage\": 1}")).await;
    assert_eq!(client.answer().await.json()["providerName"], "SuperCar Valuations");
    process.kill().await;
}
