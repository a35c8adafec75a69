//! The whole server in this process, between two simulated providers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::clock::ManualClock;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use valuation_server::app::{self, App, Ended, Live, Providers, State};
use valuation_server::config::{Applied, Config, Setting, Status};
use valuation_server::demo::simulator::{Fault, Mode, Pace, Simulator};
use valuation_server::domain::Provider;
use valuation_server::providers::BaseUrl;
use valuation_server::store::{LoggedCall, Store};

use crate::http_harness::{Answer, Client, get, put};
use crate::store_support::{at_once, until};

/// A running server, its providers, its database and its clock.
pub(crate) struct TestApp {
    pub(crate) supercar: Simulator,
    pub(crate) premium: Simulator,
    pub(crate) clock: ManualClock,
    pub(crate) address: SocketAddr,
    /// The operators' side.
    pub(crate) admin: SocketAddr,
    pub(crate) providers: Providers<ManualClock>,
    pub(crate) store: Store,
    /// For another configuration.
    pub(crate) live: Live<ManualClock>,
    pub(crate) folder: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Ended>,
}

/// Changes of the route, in words.
pub(crate) type Told = Arc<Mutex<Vec<(State, String)>>>;

/// Collects the changes of the route, in words.
pub(crate) fn listen(providers: &Providers<ManualClock>) -> Told {
    let told = Told::default();
    let teller = Arc::clone(&told);
    providers.on_transition(move |transition| {
        teller.lock().unwrap().push((transition.state, transition.because.clone()));
    });
    told
}

pub(crate) fn told(told: &Told) -> Vec<(State, String)> {
    std::mem::take(&mut *told.lock().unwrap())
}

async fn ask(mut client: Client, request: &str) -> Answer {
    client.send(request).await;
    client.answer().await
}

pub(crate) fn admin_get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

pub(crate) fn admin_send(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

pub(crate) fn broken() -> Fault {
    Fault::always(Mode::Status(500))
}

fn config(
    folder: &TempDir,
    supercar: &Simulator,
    premium: &Simulator,
    settings: &[(Setting, &str)],
) -> Config {
    let any = || "127.0.0.1:0".to_owned();
    let mut flags = BTreeMap::from([(Setting::Listen, any()), (Setting::AdminListen, any())]);
    flags.extend(settings.iter().map(|(setting, value)| (*setting, (*value).to_owned())));
    let database = folder.path().join("valuations.sqlite");
    Config::with_providers(&flags, &database, supercar.base_url(), premium.base_url()).unwrap()
}

/// The same configuration, with SuperCar elsewhere.
pub(crate) fn with_supercar(mut config: Config, url: BaseUrl) -> Config {
    config.supercar_url = url;
    config
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Started with these settings in addition to the necessary ones.
    pub(crate) async fn with(settings: &[(Setting, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::in_folder(folder, settings).await
    }

    /// Started with this status of the configuration's document.
    pub(crate) async fn with_status(status: Status) -> Self {
        Self::begin(tempfile::tempdir().unwrap(), &[], status).await
    }

    /// Started on the database in `folder`, if there is one.
    pub(crate) async fn in_folder(folder: TempDir, settings: &[(Setting, &str)]) -> Self {
        Self::begin(folder, settings, Status::default()).await
    }

    async fn begin(folder: TempDir, settings: &[(Setting, &str)], status: Status) -> Self {
        let simulator =
            |provider| Simulator::start(provider, ([127, 0, 0, 1], 0).into(), Pace::INSTANT);
        let supercar = simulator(Provider::SuperCar).await.unwrap();
        let premium = simulator(Provider::Premium).await.unwrap();
        let config = config(&folder, &supercar, &premium, settings);
        let clock = ManualClock::new();
        let app = App::start_on(&config, clock.clone()).await.unwrap().with_status(status);
        let (address, admin) = (app.address(), app.admin_address().unwrap());
        let providers = app.providers().clone();
        let (store, live) = (app.store().clone(), app.live());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async { drop(stopped.await) }));
        Self {
            supercar,
            premium,
            clock,
            address,
            admin,
            providers,
            store,
            live,
            folder,
            stop,
            task,
        }
    }

    /// The configuration of the start, but for these settings.
    pub(crate) fn config(&self, settings: &[(Setting, &str)]) -> Config {
        config(&self.folder, &self.supercar, &self.premium, settings)
    }

    /// Puts the configuration of the start, but for these settings, in force.
    pub(crate) fn apply(&self, settings: &[(Setting, &str)]) -> Applied {
        self.live.apply(self.config(settings)).unwrap()
    }

    pub(crate) async fn put(&self, vrm: &str) -> Answer {
        self.ask(&put(&format!("/valuations/{vrm}"), "{\"mileage\": 10000}")).await
    }

    pub(crate) async fn get(&self, vrm: &str) -> Answer {
        self.ask(&get(&format!("/valuations/{vrm}"))).await
    }

    async fn ask(&self, request: &str) -> Answer {
        ask(Client::connect(self.address).await, request).await
    }

    /// What an operator's request is answered.
    pub(crate) async fn operate(&self, request: &str) -> Answer {
        ask(Client::operator(self.admin).await, request).await
    }

    /// What an operator sees at a path.
    pub(crate) async fn look(&self, path: &str) -> Answer {
        self.operate(&admin_get(path)).await
    }

    /// How the failover is, as an operator sees it.
    pub(crate) async fn view(&self) -> serde_json::Value {
        let answer = self.look("/admin/failovers/valuations").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// An operator's order.
    pub(crate) async fn order(&self, body: &str) -> Answer {
        self.operate(&admin_send("POST", "/admin/failovers/valuations", body)).await
    }

    /// An operator's change of the policy.
    pub(crate) async fn amend(&self, body: &str) -> Answer {
        self.operate(&admin_send("PUT", "/admin/failovers/valuations/policy", body)).await
    }

    /// Values this many cars, whose marks begin with `mark`, and gives the statuses.
    pub(crate) async fn put_many(&self, mark: &str, cars: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for car in 0..cars {
            statuses.push(self.put(&format!("{mark}{car}")).await.status);
        }
        statuses
    }

    /// Clients that ask for a new car each, once a provider that hangs has all their calls.
    pub(crate) async fn ask_and_wait(
        &self,
        hanging: &Simulator,
        mark: &str,
        cars: u64,
    ) -> Vec<Client> {
        let (mut clients, before) = (Vec::new(), hanging.calls());
        for car in 0..cars {
            let mut client = Client::connect(self.address).await;
            client.send(put(&format!("/valuations/{mark}{car}"), "{\"mileage\": 1}")).await;
            clients.push(client);
        }
        until("calls that hang", || hanging.calls() >= before + cars).await;
        clients
    }

    pub(crate) fn calls(&self) -> (u64, u64) {
        (self.supercar.calls(), self.premium.calls())
    }

    /// Who is asked first, and SuperCar's calls and failures in the window.
    pub(crate) fn route(&self) -> (Provider, u64, u64) {
        let status = self.providers.status();
        (app::provider(status.route), status.tally.calls(), status.tally.failures)
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn log(&self) -> Vec<LoggedCall> {
        at_once(self.store.calls(None, 10_000)).unwrap()
    }

    /// Stops in order, and gives the folder back.
    pub(crate) async fn stop(self) -> (Ended, TempDir) {
        let Self { supercar, premium, folder, stop, task, .. } = self;
        drop(stop);
        let ended = task.await.unwrap();
        supercar.stop().await;
        premium.stop().await;
        (ended, folder)
    }
}

/// The provider's name in an answer with a valuation.
pub(crate) fn provider(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["providerName"].as_str().unwrap().to_owned()
}
