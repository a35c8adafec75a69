//! The demo: the server with two simulated providers on loopback, and a database in a temporary
//! folder, which is removed at the end.

mod bus;
mod clients;
mod fleet;
mod fleet_outage;
mod fleet_stage;
mod gate;
mod outage;
pub mod simulator;

use std::future::Future;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tempfile::TempDir;

use crate::app::{App, Ended, StartError};
use crate::cli::{DemoArgs, Scenario};
use crate::config::{Config, ConfigError};
use crate::domain::Provider;
use simulator::{Pace, Simulator};

/// The simulators' ports, if they are free.
const SUPERCAR_PORT: u16 = 3001;
const PREMIUM_PORT: u16 = 3002;

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A flag is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server can't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No temporary folder, or no port on loopback.
    #[error("the demo's surroundings cannot be made: {0}")]
    Surroundings(#[from] io::Error),
    /// The program that the demo needs is not there.
    #[error(
        "{name} is needed and not on the PATH: {install}; or leave --cluster out: UDP needs no program"
    )]
    Missing {
        /// The program.
        name: &'static str,
        /// How to install it.
        install: &'static str,
    },
    /// A program does not work.
    #[error("{name} was started and does not accept connections on {address}")]
    Silent {
        /// The program.
        name: &'static str,
        /// Where it should listen.
        address: SocketAddr,
    },
    /// The system has given no random bytes for the cluster's secret.
    #[error("the system gives no random bytes for the cluster's secret")]
    NoRandomness,
    /// The story did not go as it should.
    #[error("the story went wrong: {0}")]
    Story(String),
}

/// The demo's server, providers and folder.
struct Stage {
    app: App,
    supercar: Simulator,
    premium: Simulator,
    /// Removed when dropped.
    folder: TempDir,
}

/// Runs the demo until `shutdown` is ready, or until the end of its story.
///
/// # Errors
/// [`DemoError`] says what failed.
pub async fn run(
    args: &DemoArgs,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Ended, DemoError> {
    if let Some(nodes) = args.nodes {
        return fleet::run(args, nodes, shutdown).await;
    }
    let folder = tempfile::Builder::new().prefix("valuation-demo-").tempdir()?;
    let supercar = simulator(Provider::SuperCar, SUPERCAR_PORT).await?;
    let premium = simulator(Provider::Premium, PREMIUM_PORT).await?;
    let database = folder.path().join("valuations.sqlite");
    let config = args.config(&database, supercar.base_url(), premium.base_url())?;
    let app = start(args, config.clone()).await?;
    say(&pages(&app, "Open in a browser"));
    let stage = Stage { app, supercar, premium, folder };
    match args.scenario {
        None => {
            say(&what_to_try(&stage, &database, &config));
            tracing::debug!(address = %stage.app.address(), "the demo is ready");
            let Stage { app, supercar, premium, folder } = stage;
            let ended = app.run(shutdown).await;
            supercar.stop().await;
            premium.stop().await;
            folder.close()?;
            Ok(ended)
        }
        Some(Scenario::Outage) => outage::play(stage, config.revert_after, shutdown).await,
    }
}

/// Starts a server; on another port for operators if the default one is taken.
async fn start(args: &DemoArgs, mut config: Config) -> Result<App, DemoError> {
    match App::start(&config).await {
        Err(StartError::AdminListen { source, mut address })
            if source.kind() == io::ErrorKind::AddrInUse && !args.has_admin_listen() =>
        {
            address.set_port(0);
            config.admin_listen = Some(address);
            Ok(App::start(&config).await?)
        }
        started => Ok(started?),
    }
}

/// Prints a text at once, also into a pipe. The demo goes on if that fails.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

async fn simulator(provider: Provider, port: u16) -> io::Result<Simulator> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match Simulator::start(provider, at(port), Pace::default()).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Simulator::start(provider, at(0), Pace::default()).await
        }
        started => started,
    }
}

/// The pages, which show more than any command.
fn pages(app: &App, title: &str) -> String {
    let mut text = format!(
        "{title}:\n  http://{}/    what a car is worth: the customer's page\n",
        app.address()
    );
    if let Some(admin) = app.admin_address() {
        text +=
            &format!("  http://{admin}/    what the failover does, and why: the operators' page\n");
    }
    text
}

fn what_to_try(stage: &Stage, database: &Path, config: &Config) -> String {
    let server = stage.app.address();
    let (supercar, premium) = (stage.supercar.address(), stage.premium.address());
    let database = database.display();
    let back = humantime::format_duration(config.revert_after);
    let put = format!("curl -X PUT http://{server}/valuations");
    let body = "-H 'content-type: application/json' -d '{\"mileage\": 10000}'";
    let minimum = config.min_calls;
    let admin = stage.app.admin_address().map_or_else(String::new, |admin| {
        format!(
            "
See what the failover does, and take it into your own hands:
  curl http://{admin}/admin/failovers/valuations
  curl http://{admin}/admin/failovers/valuations/events
  curl -X POST http://{admin}/admin/failovers/valuations -H 'content-type: application/json' \\
    -d '{{\"updateState\": \"FORCE_FALLBACK\"}}'      # AUTO ends it
  curl http://{admin}/metrics
"
        )
    });
    format!(
        "\
The valuation server listens on http://{server}, until Ctrl-C.
SuperCar (primary) is simulated on http://{supercar}, Premium (fallback) on http://{premium}.
The database is {database}, and goes away with the demo.

Value a car, and read the valuation again:
  {put}/AA99BCD {body}
  curl http://{server}/valuations/AA99BCD
It is \"providerName\":\"SuperCar Valuations\".

Break SuperCar, and value another car:
  curl -X POST 'http://{supercar}/fault?mode=500'
  {put}/AB12CDE {body}
SuperCar's failure is rescued: the answer is \"Premium Car Valuations\".

Let {minimum} calls fail, and SuperCar is no longer asked, for {back}:
  for i in $(seq 10 29); do {put}/CAR$i {body}; echo; done
  curl http://{supercar}/fault       # its calls no longer grow

Fix it, and after {back} it is asked again:
  curl -X POST 'http://{supercar}/fault?mode=ok'

Other faults: mode=hang, reset, garbage, slow, 503, 429, 404; rate=0.5 for a share of the calls.
Every call to a provider is a row:
  sqlite3 {database} 'SELECT * FROM ProviderLogs ORDER BY id DESC LIMIT 5'
{admin}
A whole outage in a few seconds: valuation-server demo --scenario outage --quick"
    )
}
