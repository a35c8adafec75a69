//! URLs of engines: `scheme://[user[:password]@]host[:port][,host[:port]…][/path][?name=value&…]`.
//! General URL parsers know one host only.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::cluster::bus::error::BusError;

/// A parsed URL. Its `Debug` output has no credentials.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct EngineUrl {
    pub(super) scheme: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// At least one. IPv6 addresses without their brackets.
    pub(super) hosts: Vec<Host>,
    /// Without the leading slash.
    pub(super) path: String,
    pub(super) options: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

impl Host {
    /// `host:port`, with brackets around an IPv6 address.
    #[cfg(any(test, feature = "cluster-tls"))]
    pub(super) fn with_port(&self, default: u16) -> String {
        let port = self.port.unwrap_or(default);
        if self.name.contains(':') {
            format!("[{}]:{port}", self.name)
        } else {
            format!("{}:{port}", self.name)
        }
    }
}

impl EngineUrl {
    /// Parses a URL of one of the schemes. `expected` says what would be right.
    pub(super) fn parse(
        text: &str,
        schemes: &[&str],
        expected: &'static str,
    ) -> Result<Self, BusError> {
        let wrong = |problem: String| BusError::Url { problem, expected };
        let Some((scheme, rest)) = text.split_once("://") else {
            // Not the text itself: it may be a password.
            return Err(wrong("the URL has no scheme".to_owned()));
        };
        if !schemes.contains(&scheme) {
            return Err(wrong(format!("the URL's scheme is `{scheme}`")));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may have a slash, and even an `@`, although both should be escaped.
        let (credentials, rest) =
            rest.rsplit_once('@').map_or((None, rest), |(before, after)| (Some(before), after));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(String::from)
                .map_err(|_| wrong("the URL has an escape that is no UTF-8".into()))
        };
        let has_credentials = credentials.is_some();
        let (user, password) = match credentials {
            None => (None, None),
            Some(both) => {
                let (user, password) = both
                    .split_once(':')
                    .map_or((both, None), |(user, password)| (user, Some(password)));
                let user = decode(user)?;
                (Some(user).filter(|user| !user.is_empty()), password.map(decode).transpose()?)
            }
        };
        let host = |text: &str| {
            // Without credentials in the right place the text may be a password.
            let shown =
                if has_credentials { format!("host `{text}`") } else { "wrong host".into() };
            parse_host(text).ok_or_else(|| wrong(format!("the URL has the {shown}")))
        };
        let hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        let option = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        };
        let options = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(option)
            .collect::<Result<_, _>>()?;
        let (scheme, path) = (scheme.to_owned(), decode(path)?);
        Ok(Self { scheme, user, password, hosts, path, options })
    }

    /// The error of a URL that was parsed, and says something impossible.
    pub(super) fn wrong(problem: impl Into<String>, expected: &'static str) -> BusError {
        BusError::Url { problem: problem.into(), expected }
    }
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
pub(super) fn parse_host(text: &str) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let port = port.map(|port| port.parse().ok()).map_or(Some(None), |port| port.map(Some))?;
    Some(Host { name: name.to_owned(), port })
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineUrl")
            .field("scheme", &self.scheme)
            .field("hosts", &self.hosts)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{EngineUrl, Host};

    const EXPECTED: &str = "x://host";

    fn parsed(text: &str) -> EngineUrl {
        EngineUrl::parse(text, &["x", "xs"], EXPECTED).unwrap()
    }

    #[test]
    fn a_url_has_credentials_several_hosts_a_path_and_options() {
        let url = parsed("xs://me:p%40ss%3A@one:1,two,[::1]:3/0?peers=a:1,b:2&flag&name=%2Cx");
        assert_eq!(url.scheme, "xs");
        assert_eq!(url.user.as_deref(), Some("me"));
        assert_eq!(url.password.as_deref(), Some("p@ss:"));
        let hosts: Vec<_> = url.hosts.iter().map(|host| host.with_port(9)).collect();
        assert_eq!(hosts, ["one:1", "two:9", "[::1]:3"]);
        assert_eq!(url.path, "0");
        let options: Vec<_> =
            url.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(options, ["peers=a:1,b:2", "flag=", "name=,x"]);
    }

    #[test]
    fn a_password_may_stand_without_a_user_and_with_unescaped_characters() {
        let url = parsed("x://:a/b@c@host");
        assert_eq!((url.user, url.password.as_deref()), (None, Some("a/b@c")));
        assert_eq!(url.hosts, [Host { name: "host".to_owned(), port: None }]);
    }

    #[test]
    fn errors_and_debug_output_show_no_credentials() {
        let url = parsed("x://me:secret@host");
        assert!(!format!("{url:?}").contains("secret"));
        for text in [
            "secret",
            "y://me:secret@host",
            "x://me:secret@",
            "x://me:secret@ho st",
            "x://me:secret@host:99999",
            "x://me:secret%FF@host",
            "x://me:secret@[::1",
        ] {
            let error = EngineUrl::parse(text, &["x"], EXPECTED).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret") && shown.contains(EXPECTED), "{text}: {shown}");
        }
    }
}
