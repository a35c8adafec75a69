//! The table of settings. A row defines a setting: its flag, variable, key in the file, field of
//! [`Config`], errors, and the row of `docs/settings.md`.
//!
//! ```text
//! field: its type, Setting = "key", scope, change, default, kind,
//!     help[, more for docs/settings.md];
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use failover::Ratio;
use failover::cluster::Label;
use failover::cluster::bus::peers::Peer;
use failover::policy::StallLimit;
use http::HeaderValue;

use super::cluster::ClusterUrl;
use super::database::{authorities, database, node_name, password};
use super::fleet_kinds::{cluster, cluster_name, labels, peers};
use super::kinds::{
    Shown, address, choice, file, log_level, on_off, optional, origins, price, probes, share, size,
    stall_limit, text, time, time_to, token, url, whole,
};
use super::setting::{
    Change::{Operator, Reload, Restart},
    Default::{Differs, None as Unset, Required, Text},
    Row,
    Scope::{Demo, Serve},
};
use super::{ConfigError, Durability, Given, Invalid, LogFormat, Origin, Secret, value};
use crate::domain::{Money, Provider};
use crate::providers::{BaseUrl, HttpVersion, PremiumRange};
use crate::store::Location;

macro_rules! settings {
    ($(
        $field:ident: $type:ty, $name:ident = $key:literal, $scope:ident, $change:ident, $default:expr, $kind:expr,
            $help:literal $(, $more:literal)?;
    )+) => {
        /// A setting. Its flag, its environment variable and its key in the file have the same name,
        /// each in its own spelling.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Setting {
            $(#[doc = concat!($help, ".")] $name,)+
        }

        impl Setting {
            /// All of them, in the order in which they are documented.
            pub const ALL: [Self; [$($key),+].len()] = [$(Self::$name),+];

            pub(crate) fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        key: $key,
                        scope: $scope,
                        change: $change,
                        default: $default,
                        help: $help,
                        #[cfg(test)]
                        more: concat!($($more)?),
                        form: $kind.form,
                    },)+
                }
            }
        }

        /// All that can be configured: a field for each [`Setting`].
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $(#[doc = concat!($help, $(": ", $more,)? ".")] pub $field: $type,)+
            /// Where each given value came from.
            pub(super) origins: BTreeMap<Setting, Origin>,
        }

        impl Config {
            /// Reads each setting by its kind: what is given, or the default.
            pub(super) fn read(given: &BTreeMap<Setting, Given>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($field: value(Setting::$name, $kind, given)?,)+
                    origins: BTreeMap::new(),
                })
            }

            /// Reads one setting.
            pub(super) fn set(&mut self, setting: Setting, text: &str) -> Result<(), Invalid> {
                match setting {
                    $(Setting::$name => self.$field = $kind.read(text)?,)+
                }
                Ok(())
            }

            /// Takes one setting's value from another configuration.
            pub(super) fn take(&mut self, setting: Setting, from: &Self) {
                match setting {
                    $(Setting::$name => self.$field.clone_from(&from.$field),)+
                }
            }

            /// Whether the value of `setting` is another one than in `other`.
            #[must_use]
            pub fn differs(&self, other: &Self, setting: Setting) -> bool {
                match setting {
                    $(Setting::$name => self.$field != other.$field,)+
                }
            }

            pub(super) fn show(&self, setting: Setting) -> Option<Shown> {
                match setting {
                    $(Setting::$name => $kind.show(&self.$field),)+
                }
            }
        }
    };
}

impl Config {
    /// Each provider, and where it is reached.
    #[must_use]
    pub fn providers(&self) -> [(Provider, &BaseUrl); Provider::ALL.len()] {
        [(Provider::SuperCar, &self.supercar_url), (Provider::Premium, &self.premium_url)]
    }
}

settings! {
    listen: SocketAddr, Listen = "listen", Demo, Restart, Text("127.0.0.1:3000"), address(),
        "Where to listen";
    database: Location, Database = "database", Serve, Restart, Text("valuations.sqlite"), database(),
        "The SQLite file, which is created if it is missing; or the URL of a database of PostgreSQL, which several \
         servers may share",
        "No `:memory:` and no `file:` URI. A URL with a password is not taken as a flag. See postgresql.md";
    database_password: Option<Secret>, DatabasePassword = "database-password", Serve, Restart, Unset, password(),
        "The password for a database postgres://…, if its URL has none. Not taken as a flag";
    database_ca: Option<PathBuf>, DatabaseCa = "database-ca", Serve, Restart, Text("off"), authorities(),
        "A PEM file of certificate authorities to trust in place of the system's, for a database postgres://…";
    database_connections: u32, DatabaseConnections = "database-connections", Serve, Restart, Text("8"),
        whole("CONNECTIONS", 3..=1_000, "8"),
        "How many connections the server has at most to a database postgres://…: one writes, one is for the \
         operators' reports, the others read";
    node_name: Option<String>, NodeName = "node-name", Serve, Restart, Text("off"), optional(node_name()),
        "The name of this server among those that share a database postgres://…, the same after a restart: what is \
         saved of its route is saved under it; off is the host's name";
    supercar_url: BaseUrl, SupercarUrl = "supercar-url", Serve, Reload, Required,
        url("https://provider.example/v1"),
        "Where SuperCar Valuations, the primary provider, is reached";
    premium_url: BaseUrl, PremiumUrl = "premium-url", Serve, Reload, Required,
        url("https://provider.example/v1"),
        "Where Premium Car Valuations, the fallback provider, is reached";

    failure_rate: Ratio, FailureRate = "failure-rate", Demo, Operator, Text("0.5"), share("failure"),
        "The share of failing calls that must be exceeded: 0.5, 1/3 or 50%", "Kept exactly";
    min_calls: u32, MinCalls = "min-calls", Demo, Operator, Text("10"),
        whole("CALLS", 1..=u32::MAX, "10"),
        "The number of calls in the window below which no rate is evaluated";
    window: Duration, Window = "window", Demo, Operator, Text("60s"), time(10),
        "How far back calls are counted", "In ten buckets";
    revert_after: Duration, RevertAfter = "revert-after", Demo, Operator,
        Differs { serve: "5m", demo: "30s" }, time(1),
        "How long calls go to the fallback";
    provider_timeout: Duration, ProviderTimeout = "provider-timeout", Demo, Reload, Text("5s"), time(1),
        "The deadline of a whole call to a provider";
    rescue: bool, Rescue = "rescue", Demo, Reload, Text("on"), on_off(),
        "Whether a single failed call is sent to the other provider: on or off";
    premium_range: PremiumRange, PremiumRange = "premium-range", Demo, Reload, Text("private-sale"),
        choice("RANGE", &[
            ("private-sale", PremiumRange::PrivateSale),
            ("dealership", PremiumRange::Dealership),
        ]),
        "Which of Premium's values are taken: private-sale or dealership";
    probes: Option<u32>, Probes = "probes", Demo, Operator, Text("0"), probes(),
        "How many calls at once probe SuperCar when its time on the fallback is over; 3 successes \
         bring the others back, a failure keeps them away as long again, 0 is no probing";
    ramp_up: Option<Duration>, RampUp = "ramp-up", Demo, Operator, Text("off"),
        optional(time_to(1, "to 30days", "30s or 5m")),
        "How long until all calls have returned to SuperCar, from a tenth of them on";
    slow_call: Option<Duration>, SlowCall = "slow-call", Demo, Operator, Text("off"),
        optional(time_to(1, "to below provider-timeout", "2s")),
        "The time beyond which a call to SuperCar is slow; too many of them fail over as well";
    slow_rate: Ratio, SlowRate = "slow-rate", Demo, Operator, Text("0.5"), share("slow call"),
        "The share of slow calls that must be exceeded, with --slow-call";
    follow_retry_after: bool, FollowRetryAfter = "follow-retry-after", Demo, Operator, Text("off"), on_off(),
        "Whether SuperCar's Retry-After, from 1s to 10m, replaces --revert-after: on or off";
    stalled_calls: Option<Duration>, StalledCalls = "stalled-calls", Demo, Operator, Text("off"),
        optional(time_to(4, "to four fifths of provider-timeout", "2s")),
        "The time beyond which a call that has not ended is stalled; too many of them fail over \
         before they time out",
        "Seen up to a quarter of the time later, so at most four fifths of `--provider-timeout`. \
         Applies to Premium as well with `--watch-fallback`";
    stalled_limit: StallLimit, StalledLimit = "stalled-limit", Demo, Operator, Text("0.5"), stall_limit(),
        "How many stalled calls are too many, with --stalled-calls: a number of calls, or the share \
         that must be exceeded of the calls made in as long a time",
        "A share counts from `--min-calls` on";
    watch_fallback: bool, WatchFallback = "watch-fallback", Demo, Operator, Text("on"), on_off(),
        "Whether calls go back to SuperCar early if Premium fails by the same thresholds: on or off";
    client_errors_as_failures: bool, ClientErrorStreak = "client-error-streak", Demo, Operator, Text("warn"),
        choice("WARN|FAILURE", &[("warn", false), ("failure", true)]),
        "What it means if a provider answers with client errors only (404, 401, 403, ...): warn, or \
         failure, which counts them as failures too, so that they fail over";

    provider_http: HttpVersion, ProviderHttp = "provider-http", Serve, Reload, Text("1.1"),
        choice("VERSION", &[("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)]),
        "The version of HTTP that is spoken with the providers: 1.1, with a connection per request, \
         or 2, with connections that are kept";
    provider_proxy: Option<BaseUrl>, ProviderProxy = "provider-proxy", Serve, Reload, Text("off"),
        optional(url("http://proxy.example:3128")),
        "The HTTP proxy that both providers are asked through; the system's proxies are not used",
        "Its credentials are part of the URL";
    provider_ca: Option<PathBuf>, ProviderCa = "provider-ca", Serve, Reload, Text("off"),
        optional(file("the path of a PEM file")),
        "A PEM file of certificate authorities to trust in addition to the system's";
    provider_client_cert: Option<PathBuf>, ProviderClientCert = "provider-client-cert", Serve, Reload,
        Text("off"), optional(file("the path of a PEM file")),
        "A PEM file with the client certificate to show the providers, and its private key",
        "With the certificate's chain";

    admin_listen: Option<SocketAddr>, AdminListen = "admin-listen", Demo, Restart,
        Differs { serve: "off", demo: "127.0.0.1:9000" }, optional(address()),
        "Where the operators' side listens: health, metrics, commands to the failover. Beyond \
         loopback it needs a token";
    admin_token: Option<Secret>, AdminToken = "admin-token", Demo, Reload, Unset, token(),
        "What an operator must send as `Authorization: Bearer …`. Other users of the machine can see \
         a flag; the variable VALUATION_ADMIN_TOKEN or the file is better",
        "16 to 256 characters";
    fallback_warning: Option<Duration>, FallbackWarning = "fallback-warning", Demo, Reload, Text("1h"),
        optional(time_to(1_000, "to 30days", "1h")),
        "How long calls may be on the fallback, by a trip or by force, until the log, an event and \
         `/readyz?verbose` warn of it: a duration, or off",
        "A return to SuperCar that fails again within two windows does not end the time";
    log_format: LogFormat, LogFormat = "log-format", Demo, Restart, Text("text"),
        choice("FORMAT", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        "The form of the log's lines on standard error: text or json";
    log_level: String, LogLevel = "log-level", Serve, Reload, Text("info"), log_level(),
        "Which lines the log has: those of a level and the more severe ones; by modules as RUST_LOG has it, which \
         has precedence if it is set";
    allow_origins: Vec<HeaderValue>, AllowOrigin = "allow-origin", Demo, Reload, Text("off"), origins(),
        "The other origins whose front ends may read answers (CORS); may be given more than once",
        "In the file an array, in the variable separated by commas";
    access_log: bool, AccessLog = "access-log", Demo, Reload, Text("off"), on_off(),
        "Whether each request leaves a line in the log, with its client's address: on or off",
        "It costs more than the request. A request whose head is refused (400, 431), or that is over \
         capacity over HTTP/2 (503), leaves none";

    fallback_price: Option<Money>, FallbackPrice = "fallback-price", Demo, Reload,
        Differs { serve: "off", demo: "0.20" }, optional(price("0.20")),
        "What a call to Premium costs in pounds, for the operators' figures: today's cost, and the part of \
         rescues in it";

    max_connections: usize, MaxConnections = "max-connections", Serve, Reload, Text("8000"),
        whole("CONNECTIONS", 1..=100_000, "1000"),
        "How many clients may be connected at once; more are answered 503",
        "They are closed then, beyond 64 at a time without an answer. An idle one takes about 20 KiB, \
         for 20 s at most. Fewer if the process may not open files for them: the limit is raised as \
         far as it goes, and the log says how many connections are accepted";
    max_puts: usize, MaxPuts = "max-puts", Serve, Reload, Text("1000"),
        whole("VEHICLES", 1..=100_000, "1000"),
        "How many vehicles may be asked about at once; a PUT for one more is answered 503 at once",
        "Also the number of entries that wait for the writer. Stored valuations and GETs go on";
    cache: Option<u64>, Cache = "cache", Serve, Reload, Text("16MiB"), optional(size()),
        "How much memory stored valuations are kept in: a size such as 64MiB, or off",
        "A valuation that another program deletes or changes in the database is noticed within a \
         second";
    durability: Durability, Durability = "durability", Serve, Restart, Text("full"),
        choice("DURABILITY", &[("full", Durability::Full), ("normal", Durability::Normal)]),
        "What an answered valuation survives: full (a power loss) or normal (the end of the process, \
         and perhaps not a power loss)",
        "Only full with a database postgres://…, where `synchronous_commit` decides";

    anchor_log: bool, AnchorLog = "anchor-log", Serve, Reload, Text("off"), on_off(),
        "Whether each provider call carries the newest head of the log's hash chain as the header \
         audit-log-head, so that the provider's access log can prove rows: on or off",
        "Of what it proves see audit_log.md";

    cluster: Option<ClusterUrl>, Cluster = "cluster", Serve, Restart, Text("off"), optional(cluster()),
        "The bus over which the nodes of a fleet fail over as one: the address to bind for UDP, or the URL of \
         a Redis, NATS or Kafka that exists already. Without it this node decides alone",
        "The URL may have credentials. A bus that can't be reached is a warning, and no unreadiness";
    peers: Vec<Peer>, Peers = "peers", Serve, Restart, Text("off"), peers(),
        "The other nodes, with --cluster udp://…; may be given more than once",
        "This node may be among them. In the file an array, in the variable separated by commas. `dns:` stands \
         for all addresses of a name";
    cluster_name: String, ClusterName = "cluster-name", Serve, Restart, Text("valuations"), cluster_name(),
        "The cluster's name: nodes of another one on the same bus are not heard";
    cluster_secret: Option<Secret>, ClusterSecret = "cluster-secret", Serve, Restart, Unset, token(),
        "What the cluster's messages are authenticated with, the same on all nodes. UDP beyond loopback needs \
         it. Other users of the machine can see a flag; the variable VALUATION_CLUSTER_SECRET or the file is \
         better",
        "Messages are not encrypted by it";
    labels: Vec<Label>, Label = "label", Serve, Restart, Text("off"), labels(),
        "What this node has in common with others, such as zone=a: if the nodes with a label fail and the \
         others don't, only those go to Premium; may be given more than once",
        "At most 8. In the file an array, in the variable separated by commas";
    cluster_domain: Option<String>, ClusterDomain = "cluster-domain", Serve, Restart, Text("off"),
        optional(text("KEY", "the key of one of this node's labels, such as zone")),
        "The label whose nodes fail together: they count as one that may be wrong, as each node does \
         otherwise";
    cluster_ca: Option<PathBuf>, ClusterCa = "cluster-ca", Serve, Restart, Text("off"),
        optional(file("the path of a PEM file")),
        "A PEM file of certificate authorities to trust in place of the system's, for a bus over TLS";
}
