//! Would `serve` work? Looked at without leaving a trace, and said in a line each.

use std::io::{self, Write};

use crate::config::{Config, Origin, Setting};
use crate::domain::Provider;
use crate::providers::{self, BaseUrl};
use crate::store::{self, Found};

/// Checks a configuration that could be read, the database, and whether the providers can be
/// reached, and writes a line about each. True if all is well.
///
/// It may be run beside a server that uses the same configuration, so that it says nothing about
/// the addresses to listen on. The providers are asked for nothing that costs anything.
///
/// # Errors
/// What the system says if `out` can't be written.
pub async fn run(config: &Config, out: &mut impl Write) -> io::Result<bool> {
    let given =
        Setting::ALL.iter().filter(|setting| *config.origin(**setting) != Origin::Default).count();
    writeln!(out, "ok    configuration: {given} settings given, the others have their defaults")?;

    let mut failed = 0;
    let path = config.database.display();
    match store::look(&config.database) {
        Ok(found) => writeln!(out, "ok    database {path}: {}", words(found))?,
        Err(error) => {
            failed += 1;
            writeln!(out, "FAIL  {error}")?;
        }
    }
    // At the same time: where both hang, the wait is one deadline.
    let (supercar, premium) = tokio::join!(
        reach(Provider::SuperCar, &config.supercar_url, config),
        reach(Provider::Premium, &config.premium_url, config),
    );
    for (well, line) in [supercar, premium] {
        failed += u32::from(!well);
        writeln!(out, "{} {line}", if well { "ok   " } else { "FAIL " })?;
    }
    match failed {
        0 => writeln!(out, "All is well.")?,
        _ => writeln!(out, "{failed} of 4 checks failed.")?,
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

async fn reach(provider: Provider, base: &BaseUrl, config: &Config) -> (bool, String) {
    match providers::reach(base, config.provider_timeout, &config.transport).await {
        Ok(status) => {
            (true, format!("{provider} at {base}: reached (its root answers with {status})"))
        }
        Err(error) => (
            false,
            format!("{provider} at {base}: {error}; is the URL right, and is the way to it open?"),
        ),
    }
}
