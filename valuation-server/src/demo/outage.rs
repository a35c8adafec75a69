//! The story of an outage, as the clients of a running server see it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::clients::{self, RATE, Traffic};
use super::simulator::{Fault, Mode, Simulator};
use super::{DemoError, Stage, say};
use crate::app::{Ended, Providers, State, Transition, provider};
use crate::domain::Provider;

/// How long SuperCar is healthy before the outage, and how long the story goes on after the revert.
const WELL: Duration = Duration::from_secs(3);

/// Plays the outage and prints it as it happens. Ends early when `shutdown` is ready.
pub(super) async fn play(
    stage: Stage,
    revert_after: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Ended, DemoError> {
    let Stage { app, supercar, premium, folder } = stage;
    let address = app.address();
    let providers = app.providers().clone();
    let (tell, mut transitions) = mpsc::unbounded_channel();
    providers.on_transition(move |transition: &Transition| {
        // Nobody listens once the story is over.
        let _ = tell.send(transition.clone());
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(app.run(async move {
        // A dropped sender means the same.
        let _ = stopped.await;
    }));
    let traffic = Arc::new(Traffic::default());
    let clients = clients::start(vec![address], Arc::clone(&traffic));

    let table =
        Table { supercar: &supercar, premium: &premium, providers: &providers, traffic: &traffic };
    let story = tokio::select! {
        story = tell_story(&table, &mut transitions, revert_after) => story,
        () = shutdown => Ok(()),
    };
    clients.abort();
    // An aborted task's result says nothing.
    let _ = clients.await;
    drop(stop);
    let ended = server.await.map_err(|error| DemoError::Story(error.to_string()))?;
    supercar.stop().await;
    premium.stop().await;
    folder.close()?;
    story.map(|()| ended)
}

/// What is printed once a second.
struct Table<'a> {
    supercar: &'a Simulator,
    premium: &'a Simulator,
    providers: &'a Providers,
    traffic: &'a Traffic,
}

/// Answers, errors, calls to SuperCar and calls to Premium.
type Counts = [u64; 4];

impl Table<'_> {
    fn counts(&self) -> Counts {
        let (answers, errors) = (self.traffic.answers(), self.traffic.errors());
        [answers, errors, self.supercar.calls(), self.premium.calls()]
    }

    /// Prints what has changed since `before`, and gives the present counts.
    fn row(&self, since: Duration, before: Counts) -> Counts {
        let (now, status) = (self.counts(), self.providers.status());
        let [answers, errors, supercar, premium] = std::array::from_fn(|i| now[i] - before[i]);
        let rate = status.tally.failure_rate();
        let rate = rate.map_or("-".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
        let is_primary = provider(status.route) == Provider::SuperCar;
        let route = if is_primary { "SuperCar" } else { "Premium" };
        let back = status.reverts_in.map_or(String::new(), |t| format!("{:.1} s", t.as_secs_f64()));
        say(&format!(
            "{:5.1} s {answers:9} {errors:7} {supercar:11} {premium:10}  {route:9} {rate:>12}  {back}",
            since.as_secs_f64(),
        ));
        now
    }
}

async fn tell_story(
    table: &Table<'_>,
    transitions: &mut mpsc::UnboundedReceiver<Transition>,
    revert_after: Duration,
) -> Result<(), DemoError> {
    let start = Instant::now();
    say(&format!("{RATE} new cars a second; all is well for {WELL:?}, then SuperCar breaks."));
    say("   time   answers  errors    SuperCar    Premium  route      failure rate  revert in\n\
         \x20         a second a second     calls/s    calls/s");
    let mut breaks = pin!(sleep_until(start + WELL));
    // Reset when it trips.
    let mut recovers = pin!(sleep_until(start));
    let (mut is_broken, mut is_recovered) = (false, true);
    let mut rows = interval(Duration::from_secs(1));
    rows.tick().await;
    let mut counts = Counts::default();
    let (mut trips, mut reverts) = (0, 0);
    // The outage ends half-way through the time on the fallback, so that SuperCar is healthy at the
    // revert. The minute is for machines that are busy with something else.
    let patience = WELL + revert_after + Duration::from_secs(60);
    let acts = async {
        loop {
            tokio::select! {
                () = &mut breaks, if !is_broken => {
                    is_broken = true;
                    table.supercar.set_fault(Fault::always(Mode::Status(500)));
                    say("--- SuperCar breaks: it answers 500 from now on");
                }
                () = &mut recovers, if !is_recovered => {
                    is_recovered = true;
                    table.supercar.set_fault(Fault::NONE);
                    say("--- SuperCar is fixed, and is not asked yet");
                }
                Some(Transition { to, state, because }) = transitions.recv() => match state {
                    State::Probing => {
                        say(&format!("--- PROBING: a few calls at once go to SuperCar: {because}"));
                    }
                    _ if to != Provider::SuperCar => {
                        trips += 1;
                        is_recovered = false;
                        recovers.as_mut().reset(Instant::now() + revert_after / 2);
                        say(&format!("--- TRIP: Premium is asked instead: {because}"));
                    }
                    _ => {
                        reverts += 1;
                        say(&format!("--- REVERT: SuperCar is asked again: {because}"));
                        return;
                    }
                },
                now = rows.tick() => counts = table.row(now - start, counts),
            }
        }
    };
    timeout(patience, acts)
        .await
        .map_err(|_| DemoError::Story(format!("no revert within {patience:?}")))?;
    for _ in 0..WELL.as_secs() {
        let now = rows.tick().await;
        counts = table.row(now - start, counts);
    }
    let [answers, errors, supercar, premium] = table.counts();
    say(&format!(
        "{answers} answers, {errors} errors, {trips} trip, {reverts} revert; \
         {supercar} calls to SuperCar, {premium} to Premium."
    ));
    match (trips, reverts, answers) {
        (1, 1, 1..) => Ok(()),
        _ => Err(DemoError::Story("one trip and one revert were to be seen".into())),
    }
}
