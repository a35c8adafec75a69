//! Whether `serve` would work: one line per check. Nothing is changed.

pub mod live;

use std::io::{self, Write};

use futures_util::future::join_all;

use crate::config::{Config, Origin, Setting};
use crate::domain::Provider;
use crate::providers::{self, BaseUrl, Unreachable};
use crate::store::{self, Found};

/// Checks a valid configuration, the database, and the answers of the providers, and writes a line for
/// each: `ok`, `FAIL`, or `?` if the answer proves nothing. True unless one failed.
///
/// A server with the same configuration may be running, so the addresses to listen on are not checked.
/// No valuation is requested, so the path and the contract stay unproven.
///
/// # Errors
/// What the system says if `out` can't be written.
pub async fn run(config: &Config, out: &mut impl Write) -> io::Result<bool> {
    let given =
        Setting::ALL.iter().filter(|setting| *config.origin(**setting) != Origin::Default).count();
    writeln!(out, "ok    configuration: {given} settings given, the others have their defaults")?;

    let (mut failed, mut unproven) = (0, 0);
    let place = config.location();
    // It blocks, for a server on a connection.
    match tokio::task::spawn_blocking(move || store::look(place)).await {
        Ok(Ok(found)) => writeln!(out, "ok    database {}: {}", config.database, words(found))?,
        Ok(Err(error)) => {
            failed += 1;
            writeln!(out, "FAIL  {error}")?;
        }
        Err(error) => {
            failed += 1;
            writeln!(out, "FAIL  the check of the database {} ended: {error}", config.database)?;
        }
    }
    // Concurrently: if both hang, the wait is one deadline.
    let reached = config.providers().map(|(provider, base)| reach(provider, base, config));
    for (finding, line) in join_all(reached).await {
        let label = match finding {
            Finding::Reached => "ok   ",
            Finding::Unproven => "?    ",
            Finding::Failed => "FAIL ",
        };
        failed += u32::from(finding == Finding::Failed);
        unproven += u32::from(finding == Finding::Unproven);
        writeln!(out, "{label} {line}")?;
    }
    let checks = 2 + Provider::ALL.len();
    match (failed, unproven) {
        (0, 0) => writeln!(out, "Nothing wrong was found.")?,
        (0, _) => {
            writeln!(out, "Nothing wrong was found; {unproven} of {checks} checks prove nothing.")?;
        }
        _ => writeln!(out, "{failed} of {checks} checks failed.")?,
    }
    out.flush()?;
    Ok(failed == 0)
}

fn words(found: Found) -> String {
    match found {
        Found::Nothing => "not there yet; serve makes it".to_owned(),
        Found::Empty => "empty; serve fills it".to_owned(),
        Found::Ours { version, latest } if version == latest => {
            format!("of this server, schema version {version}")
        }
        Found::Ours { version, latest } => {
            format!("of this server, schema version {version}; serve brings it to {latest}")
        }
        Found::OlderService => "of the older service; serve takes it over".to_owned(),
    }
}

/// What a provider's answer says about the calls of `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// Name, connection, TLS and HTTP work.
    Reached,
    /// The same, and it proves no more than that.
    Unproven,
    /// Calls would fail.
    Failed,
}

async fn reach(provider: Provider, base: &BaseUrl, config: &Config) -> (Finding, String) {
    match providers::reach(base, config.provider_timeout, &config.transport()).await {
        Ok(status) => {
            let (finding, meaning) = meaning(status);
            (finding, format!("{provider} at {base}: HEAD is answered with {status}: {meaning}"))
        }
        Err(Unreachable { code, message }) => (
            Finding::Failed,
            format!(
                "{provider} at {base}: {code}: {message}; is the URL right, and is the way to it open?"
            ),
        ),
    }
}

/// What a status means as an answer to `HEAD` of the base URL, with the credentials of a call.
fn meaning(status: u16) -> (Finding, &'static str) {
    match status {
        200..=299 => (
            Finding::Reached,
            "it is reached; whether the path of valuations is right, the first call shows",
        ),
        300..=399 => (
            Finding::Unproven,
            "it is reached, and redirects; serve does not follow redirects: has the URL moved?",
        ),
        401 | 402 | 407 => (
            Finding::Failed,
            "it is reached, and refuses us: are the credentials and keys in the URL right?",
        ),
        403 => (
            Finding::Unproven,
            "it is reached, and refuses us: perhaps the credentials or keys are wrong; some hosts \
             answer so for a path that they do not know",
        ),
        408 | 429 | 500 | 502..=599 => {
            (Finding::Failed, "it is reached, and unhealthy: serve counts this as a failure")
        }
        400..=499 | 501 => (
            Finding::Unproven,
            "it is reached; this says nothing about the path of valuations, nor about credentials",
        ),
        _ => (Finding::Failed, "it is reached, and this is no status that serve understands"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_says_as_much_as_it_proves() {
        for (statuses, finding, part) in [
            (&[200, 204][..], Finding::Reached, "the first call shows"),
            (&[301, 302, 307, 308], Finding::Unproven, "has the URL moved?"),
            (&[401, 402, 407], Finding::Failed, "credentials and keys in the URL"),
            (&[403], Finding::Unproven, "perhaps the credentials"),
            (&[400, 404, 405, 410, 501], Finding::Unproven, "says nothing about the path"),
            (&[408, 429, 500, 502, 503, 504, 599], Finding::Failed, "unhealthy"),
            (&[101, 600, 999], Finding::Failed, "no status that serve understands"),
        ] {
            for status in statuses {
                let (found, meaning) = meaning(*status);
                assert_eq!(found, finding, "{status}");
                assert!(meaning.contains(part), "{status}: {meaning}");
            }
        }
    }
}
