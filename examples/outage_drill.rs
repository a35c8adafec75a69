//! The valuation server's providers in an outage of twelve minutes, on a manual clock. Providers
//! are simulated on loopback; the server's own clients call every two seconds.
//!
//! `cargo run -p examples --features server --example outage_drill`

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU128;
use std::time::Duration;

use failover::clock::{Clock, ManualClock};
use failover::{Classify, Failover, FailoverLayer, Outcome, Policy};
use tower::{Layer, Service, ServiceExt};
use valuation_server::demo::simulator::{Fault, Mode, Pace, Simulator};
use valuation_server::domain::{
    Answer, CallTrail, Failure, Mileage, Provider, QuoteRequest, Trace, Vrm,
};
use valuation_server::providers::{self, PremiumRange, Transport};

const STEP: Duration = Duration::from_secs(2);
const STEPS_A_MINUTE: u64 = 30;
const MINUTES: u64 = 24;
/// The minutes at which SuperCar's outage begins and ends.
const OUTAGE: (u64, u64) = (4, 16);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let start = |provider| Simulator::start(provider, anywhere, Pace::INSTANT);
    let (supercar, premium) = (start(Provider::SuperCar).await?, start(Provider::Premium).await?);
    let deadline = Duration::from_secs(60);
    let transport = Transport::default();
    let primary = providers::supercar(&supercar.base_url(), deadline, &transport)?;
    let fallback =
        providers::premium(&premium.base_url(), PremiumRange::PrivateSale, deadline, &transport)?;

    let clock = ManualClock::new();
    let mut service = FailoverLayer::with_fallback(fallback, Policy::default())
        .clock(clock.clone())
        .classify(judge as fn(&Result<Answer, Failure>) -> Outcome)
        .layer(primary);

    println!("A call every 2 s; SuperCar answers 500 from minute {} to {}.", OUTAGE.0, OUTAGE.1);
    println!("  =  answered by SuperCar   #  answered by Premium   !  an error\n");
    let mut errors = 0;
    for minute in 0..MINUTES {
        if minute == OUTAGE.0 {
            supercar.set_fault(Fault::always(Mode::Status(500)));
        } else if minute == OUTAGE.1 {
            supercar.set_fault(Fault::NONE);
        }
        let bar = play(&mut service, &clock).await?;
        errors += bar.matches('!').count();
        let route = service.handle().snapshot();
        let back = route.reverts_in.map_or(String::new(), |time| format!(", {time:?} to go"));
        println!("{minute:2} min  {bar}  {}{back}", route.route.as_str());
    }
    let (to_supercar, to_premium) = (supercar.calls(), premium.calls());
    println!("\n{to_supercar} calls to SuperCar, {to_premium} to Premium; {errors} errors");
    supercar.stop().await;
    premium.stop().await;
    Ok(())
}

/// A minute of calls, each as a character for the provider that answered.
async fn play<P, F, C>(
    service: &mut Failover<P, F, C, ManualClock>,
    clock: &ManualClock,
) -> Result<String, Box<dyn Error>>
where
    P: Service<QuoteRequest, Response = Answer, Error = Failure>,
    F: Service<QuoteRequest, Response = Answer, Error = Failure>,
    C: Classify<Answer, Failure> + Clone,
{
    let mut minute = String::new();
    for _ in 0..STEPS_A_MINUTE {
        // Each call is for a different car.
        let number = clock.now().as_nanos() / 1_000_000_000;
        let vrm = Vrm::parse(&format!("A{number}"))?;
        let (mileage, trail) = (Mileage::new(10_000.0)?, CallTrail::default());
        let trace = Trace::new(NonZeroU128::MIN, 0, "drill");
        let request = QuoteRequest { vrm, mileage, trail, trace };
        let answer = match service.ready().await {
            Ok(ready) => ready.call(request).await,
            Err(error) => Err(error),
        };
        minute.push(match answer.map(|answer| answer.quote.provider()) {
            Ok(Provider::SuperCar) => '=',
            Ok(Provider::Premium) => '#',
            Err(_) => '!',
        });
        clock.advance(STEP);
    }
    Ok(minute)
}

/// The classifier that the server uses, too.
fn judge(result: &Result<Answer, Failure>) -> Outcome {
    match result {
        Err(failure) if failure.error.is_provider_failure() => Outcome::Failure,
        _ => Outcome::Success,
    }
}
