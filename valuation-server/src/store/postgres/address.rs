//! The address of a database of PostgreSQL: its URL, and what may not stand in one.

use std::fmt;
use std::net::IpAddr;
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// How long a try to connect to one host may take, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long sent bytes may stay unacknowledged, unless the URL says otherwise: a host that is gone is noticed
/// while requests wait.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// The name by which PostgreSQL shows the connections of a server, unless the URL has another.
pub(in crate::store) const APPLICATION_NAME: &str = "valuation-server";

/// The address of a database of PostgreSQL, with its credentials. As text it is
/// `postgres://user@host:port/name`, without a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    config: Box<Config>,
    ca: Option<PathBuf>,
    /// The URL as it was given, with [`REDACTED`] in place of each password.
    url: String,
}

/// What stands in place of a password.
const REDACTED: &str = "REDACTED";

/// Why a text is not the address of a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not a URL that the client understands. It is not shown, since it may have a password.
    #[error("{0}; expected postgres://USER@HOST:PORT/NAME")]
    Url(String),
    /// A way of encryption without a check of the server's certificate.
    #[error(
        "its sslmode is {0:?}; expected \"verify-full\" (the default, except for loopback addresses and Unix \
         sockets) or \"disable\""
    )]
    SslMode(String),
    /// Where one part ends would be a guess, and a part of a password could be shown as a host.
    #[error(
        "a /, ? or @ of its user or password, and an @ of its parameters, must be escaped, as %2F, %3F and %40; \
         expected postgres://USER@HOST:PORT/NAME"
    )]
    Unescaped,
    /// It was copied from an output that shows no passwords.
    #[error("it has REDACTED in place of a password")]
    Redacted,
    /// The URL of something else.
    #[error("there is no scheme {0:?}; expected postgres://USER@HOST:PORT/NAME")]
    Scheme(String),
    /// Parameters as libpq takes them, perhaps with a password.
    #[error("it is a list of parameters; expected postgres://USER@HOST:PORT/NAME")]
    Parameters,
    /// A host is missing.
    #[error("it names no host; expected postgres://USER@HOST:PORT/NAME")]
    NoHost,
}

impl PostgresAddress {
    /// Whether a text is meant to be one, and not a path.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// With another password than the URL's.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// With the authorities that may sign the server's certificate, in a PEM file: the system's without.
    #[must_use]
    pub fn with_ca(mut self, ca: Option<&Path>) -> Self {
        self.ca = ca.map(Path::to_owned);
        self
    }

    /// With the name by which the server shows its connections.
    pub(in crate::store) fn with_application_name(mut self, name: &str) -> Self {
        self.config.application_name(name);
        self
    }

    /// The file of authorities.
    pub(in crate::store) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The client's configuration.
    pub(in crate::store) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the connection is encrypted, and the server's certificate checked.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.config.get_ssl_mode() != SslMode::Disable
    }

    /// Whether the URL has a password, or was given one.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// The URL as it was given, with `REDACTED` in place of each password. One without a password can be read back.
    #[must_use]
    pub fn redacted_url(&self) -> &str {
        &self.url
    }
}

impl FromStr for PostgresAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = redacted(text)?;
        let (text, mode) = without_ssl_mode(text);
        let mut config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
            // After an & that is not escaped, the rest of a password would be the name of a parameter.
            if url.contains("password=") {
                return AddressError::Url("one of its parameters is wrong".to_owned());
            }
            // Its source names the parameter. No text of it has a value.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            AddressError::Url(cause.unwrap_or_else(|| error.to_string()))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::NoHost);
        }
        let encrypted = match mode {
            // An address has precedence over the name of its host.
            None => {
                !config.get_hosts().iter().all(is_local)
                    || !config.get_hostaddrs().iter().all(IpAddr::is_loopback)
            }
            Some("verify-full" | "require") => true,
            Some("disable") => false,
            Some(other) => return Err(AddressError::SslMode(other.to_owned())),
        };
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        if config.get_password().is_some_and(|password| password == REDACTED.as_bytes()) {
            return Err(AddressError::Redacted);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        // Of several hosts the one that can write: after a failover that is another one.
        if config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        Ok(Self { config: Box::new(config), ca: None, url })
    }
}

/// The URL with [`REDACTED`] in place of its passwords, as the client finds them: it ends the credentials at the
/// first `@`.
fn redacted(text: &str) -> Result<String, AddressError> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("postgres", text));
    let (credentials, rest) = match rest.split_once('@') {
        Some((credentials, rest)) if credentials.contains(['/', '?']) || rest.contains('@') => {
            return Err(AddressError::Unescaped);
        }
        Some((credentials, rest)) => {
            let user = credentials.split_once(':').map(|(user, _)| format!("{user}:{REDACTED}"));
            (user.unwrap_or_else(|| credentials.to_owned()) + "@", rest)
        }
        None => (String::new(), rest),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let pair = |pair: &str| match pair.split_once('=') {
        // An escaped name may be that of the password.
        Some((name, _)) if name == "password" || name.contains('%') => {
            format!("{name}={REDACTED}")
        }
        _ => pair.to_owned(),
    };
    let query: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    let separator = if query.is_empty() { "" } else { "?" };
    Ok(format!("{scheme}://{credentials}{place}{separator}{}", query.join("&")))
}

/// The URL without its `sslmode`, whose values are not all the client's; and that.
fn without_ssl_mode(text: &str) -> (String, Option<&str>) {
    let Some((base, query)) = text.split_once('?') else {
        return (text.to_owned(), None);
    };
    let mut mode = None;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            _ => rest.push(pair),
        }
    }
    let separator = if rest.is_empty() { "" } else { "?" };
    (format!("{base}{separator}{}", rest.join("&")), mode)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// What stands unescaped in a part of a URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{}@", utf8_percent_encode(user, PLAIN))?;
        }
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]")?,
                Host::Tcp(name) => f.write_str(name)?,
                #[cfg(unix)]
                Host::Unix(path) => {
                    percent_encode(path.as_os_str().as_bytes(), PLAIN).fmt(f)?;
                }
            }
            if let Some(port) = ports.get(index).or_else(|| ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        match self.config.get_dbname() {
            Some(name) => write!(f, "/{}", utf8_percent_encode(name, PLAIN)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<PostgresAddress, AddressError> {
        text.parse()
    }

    #[test]
    fn as_text_it_has_no_password_and_no_parameter() {
        for (text, shown) in [
            (
                "postgres://u:secret@db.example:6432/v?sslmode=verify-full",
                "postgres://u@db.example:6432/v",
            ),
            ("postgresql://a,b:2/v?password=secret", "postgres://a:5432,b:2/v"),
            ("postgres://u:secret@[::1]/v?connect_timeout=3", "postgres://u@[::1]:5432/v"),
            ("postgres://%2Frun%2Fpostgresql/v", "postgres://%2Frun%2Fpostgresql:5432/v"),
            ("postgres://we%2Fird@h/v%20w", "postgres://we%2Fird@h:5432/v%20w"),
        ] {
            let address = parsed(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn its_url_without_a_password_reads_back_and_with_one_it_says_where_that_was() {
        for (text, shown) in [
            ("postgres://u@h:1/v?sslmode=disable", "postgres://u@h:1/v?sslmode=disable"),
            ("postgresql://u:secret@h/v", "postgresql://u:REDACTED@h/v"),
            ("postgres://u:sec:ret@h", "postgres://u:REDACTED@h"),
            (
                "postgres://h/v?password=secret&connect_timeout=3",
                "postgres://h/v?password=REDACTED&connect_timeout=3",
            ),
            ("postgres://h/v?pass%77ord=secret", "postgres://h/v?pass%77ord=REDACTED"),
        ] {
            let address = parsed(text).unwrap();
            assert_eq!(address.redacted_url(), shown, "{text}");
            let again = parsed(shown);
            if address.has_password() {
                assert_eq!(again, Err(AddressError::Redacted), "{text}");
            } else {
                assert_eq!(again, Ok(address), "{text}");
            }
        }
    }

    #[test]
    fn a_url_whose_parts_could_be_mistaken_is_refused() {
        for text in [
            "postgres://u:sec@ret@h/v",
            "postgres://u:sec/ret@h/v",
            "postgres://h/v?password=sec@ret",
            "postgres://h:5432/v?password=sec@ret",
            "postgres://u:s?password=sec@ret@h",
        ] {
            assert_eq!(parsed(text), Err(AddressError::Unescaped), "{text}");
        }
        assert!(parsed("postgres://u:sec%40%2F%3Fret@h/v").unwrap().has_password());
    }

    #[test]
    fn the_servers_certificate_is_checked_unless_it_is_on_this_machine_or_the_url_says_not_to() {
        for (text, encrypted) in [
            ("postgres://db.example/v", true),
            ("postgres://db.example/v?sslmode=require", true),
            ("postgres://db.example/v?sslmode=disable", false),
            ("postgres://localhost/v", false),
            ("postgres://127.0.0.1/v", false),
            ("postgres://%2Frun%2Fpostgresql/v", false),
            ("postgres://127.0.0.1/v?connect_timeout=2&sslmode=verify-full", true),
            ("postgres://localhost,db.example/v", true),
            ("postgres://localhost/v?hostaddr=192.0.2.1", true),
            ("postgres:///v?hostaddr=192.0.2.1", true),
            ("postgres:///v?hostaddr=127.0.0.1", false),
        ] {
            assert_eq!(parsed(text).unwrap().is_encrypted(), encrypted, "{text}");
        }
        let error = parsed("postgres://h/v?sslmode=prefer").unwrap_err().to_string();
        assert!(error.contains("\"prefer\"") && error.contains("verify-full"), "{error}");
    }

    #[test]
    fn a_wrong_url_is_named_without_its_password() {
        for text in [
            "postgres://u:secret@h:port/v",
            "postgres://u:secret@h/v?colour=red",
            "postgres:///v",
            "postgres://h/v?password=a&secret=b",
        ] {
            let error = parsed(text).unwrap_err().to_string();
            assert!(error.contains("expected postgres://USER@HOST"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
