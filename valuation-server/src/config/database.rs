//! The settings of the database: where it is, and what a database of PostgreSQL needs in addition.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::cluster::ClusterUrl;
use super::kinds::{Kind, Shown, file, optional, plain, shown, shown_by};
use super::secret::REDACTED;
use super::{
    Config, ConfigError, Durability, Given, Invalid, Origin, Secret, Setting, around, refused,
    value,
};
use crate::store::{Location, PostgresAddress};

/// The length of a password, in bytes.
const LONGEST_PASSWORD: usize = 1024;
/// The length of a node's name.
const LONGEST_NAME: usize = 64;

/// The text of a database as it was given, of which [`Config::database_location`] is made. Its `Debug` shows no
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseArg(OsString);

impl From<OsString> for DatabaseArg {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

impl From<PathBuf> for DatabaseArg {
    fn from(path: PathBuf) -> Self {
        Self(path.into())
    }
}

impl fmt::Debug for DatabaseArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&redacted(&self.0.to_string_lossy()), f)
    }
}

/// A file of SQLite, or the URL of a database of PostgreSQL, perhaps with a password.
pub(super) fn database() -> Kind<Location> {
    let expected = "the path of a file, such as valuations.sqlite, or the URL of a database of PostgreSQL, such as \
                    postgres://user@db.example/valuations";
    let read = |text: &str| match text {
        "" => Err(Invalid::Form),
        text => text.parse().map_err(|error| Invalid::Database(format!("{error}"))),
    };
    let show = |location: &Location| match location {
        Location::File(path) => shown(&path.display()),
        Location::Server(address) => Some(Shown {
            text: address.redacted_url().to_owned(),
            redacted: address.has_password(),
        }),
    };
    let mut kind = shown_by("FILE|URL", expected, read, show);
    kind.form.redact = redacted;
    kind
}

/// The password of a role, as it is.
pub(super) fn password() -> Kind<Option<Secret>> {
    let expected = format!(
        "a text of 1 to {LONGEST_PASSWORD} bytes without control characters, such as the end of a line"
    );
    let read = |text: &str| {
        let right =
            (1..=LONGEST_PASSWORD).contains(&text.len()) && !text.contains(char::is_control);
        if right { Ok(Some(Secret::from(text))) } else { Err(Invalid::Form) }
    };
    let redacted = || Shown { text: REDACTED.to_owned(), redacted: true };
    let show = move |password: &Option<Secret>| password.as_ref().map(|_| redacted());
    let mut kind = shown_by("PASSWORD", expected, read, show);
    kind.form.hyphen = true;
    kind.form.redact = |_| REDACTED.to_owned();
    kind.form.on_command_line = false;
    kind.unset = Some(None);
    kind
}

/// Whether a text can be the name of a server among those that share a database.
#[must_use]
pub fn is_node_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The name of a server among those that share a database.
pub(super) fn node_name() -> Kind<String> {
    let expected = format!(
        "a text of 1 to {LONGEST_NAME} visible ASCII characters without spaces, such as node-1"
    );
    plain("NAME", expected, |text| {
        if is_node_name(text) { Ok(text.to_owned()) } else { Err(Invalid::Form) }
    })
}

/// A file of authorities.
pub(super) fn authorities() -> Kind<Option<PathBuf>> {
    optional(file("the path of a PEM file"))
}

/// A text that should name a database, as an error may show it. A text that is meant for a server may have a
/// password anywhere.
fn redacted(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return if text.contains("password") { REDACTED.to_owned() } else { text.to_owned() };
    };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    // What stands there may be a password whose host is missing.
    if !rest.contains('@') && !port.bytes().all(|b| b.is_ascii_digit()) {
        return format!("{scheme}://{REDACTED}");
    }
    ClusterUrl::redacted(text)
}

/// A server's address with the password and the authorities of their settings.
fn completed(location: &Location, password: Option<&Secret>, ca: Option<&Path>) -> Location {
    match location {
        Location::Server(address) => {
            let address = PostgresAddress::clone(address).with_ca(ca);
            match password {
                Some(password) => address.with_password(password.expose()),
                None => address,
            }
            .into()
        }
        file => file.clone(),
    }
}

/// What is wrong with the database, a password and authorities together.
fn access_trouble(
    location: &Location,
    password: Option<&Secret>,
    ca: Option<&Path>,
    is_flag: impl Fn(Setting) -> bool,
) -> Option<(Setting, Invalid)> {
    let trouble = |setting, text: &str| Some((setting, Invalid::Database(text.to_owned())));
    let visible = "other users of the machine can see a password on the command line: set \
                   VALUATION_DATABASE_PASSWORD, or database-password in the file, instead";
    if is_flag(Setting::DatabasePassword) {
        return trouble(Setting::DatabasePassword, visible);
    }
    let Location::Server(address) = location else {
        let setting = match (password, ca) {
            (Some(_), _) => Setting::DatabasePassword,
            (None, Some(_)) => Setting::DatabaseCa,
            (None, None) => return None,
        };
        return trouble(setting, FOR_SERVERS);
    };
    if is_flag(Setting::Database) && address.has_password() {
        return trouble(Setting::Database, visible);
    }
    if password.is_some() && address.has_password() {
        let text = "the URL of --database has a password too: leave one of them out";
        return trouble(Setting::DatabasePassword, text);
    }
    if ca.is_some() && !address.is_encrypted() {
        let text = "the connection is not encrypted, so that there is no certificate to check: leave it out, or add \
                    sslmode=verify-full to the URL of --database";
        return trouble(Setting::DatabaseCa, text);
    }
    None
}

/// What is wrong with a setting of PostgreSQL next to a file.
const FOR_SERVERS: &str =
    "it is for a database postgres://… alone, and --database is a file: leave it out";

impl Config {
    /// Where the database is, with the password and the authorities for it. The field
    /// [`database`](Self::database) is what was given, without them.
    #[must_use]
    pub fn location(&self) -> Location {
        completed(&self.database, self.database_password.as_ref(), self.database_ca.as_deref())
    }

    /// Where the database is, alone: from where [`load`](Self::load) takes it, whatever else is not set. With a
    /// flag that names a file nothing else is read.
    ///
    /// # Errors
    /// [`ConfigError`], as [`load`](Self::load).
    pub fn database_location(
        flag: Option<&DatabaseArg>,
        place: Option<&OsStr>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Location, ConfigError> {
        let flag = match flag {
            Some(DatabaseArg(text)) => {
                let given =
                    Given { text: text.to_string_lossy().into_owned(), origin: Origin::Flag };
                let location = read(Setting::Database, &given)?;
                if let Location::File(_) = location {
                    // Its bytes, which need not be Unicode.
                    return Ok(Location::File(text.into()));
                }
                if text.to_str().is_none() {
                    return Err(refused(Setting::Database, &given, Invalid::NotUnicode));
                }
                Some(given)
            }
            None => None,
        };
        let mut merged = around(place, environment)?;
        if let Some(given) = flag {
            merged.insert(Setting::Database, given);
        }
        let default = || Given {
            text: Setting::Database.row().default.text().unwrap_or_default().to_owned(),
            origin: Origin::Default,
        };
        merged.entry(Setting::Database).or_insert_with(default);
        Self::completed_location(&merged)
    }

    fn completed_location(given: &BTreeMap<Setting, Given>) -> Result<Location, ConfigError> {
        let location = value(Setting::Database, database(), given)?;
        let password = value(Setting::DatabasePassword, password(), given)?;
        let ca = match given.get(&Setting::DatabaseCa) {
            Some(_) => value(Setting::DatabaseCa, authorities(), given)?,
            None => None,
        };
        let is_flag =
            |setting| given.get(&setting).is_some_and(|given| given.origin == Origin::Flag);
        let (password, ca) = (password.as_ref(), ca.as_deref());
        let trouble = access_trouble(&location, password, ca, is_flag);
        if let Some((setting, because)) = trouble
            && let Some(given) = given.get(&setting)
        {
            return Err(refused(setting, given, because));
        }
        Ok(completed(&location, password, ca))
    }

    /// The first setting of the database that is wrong together with others.
    pub(super) fn database_trouble(&self) -> Option<(Setting, Invalid)> {
        let is_flag = |setting| *self.origin(setting) == Origin::Flag;
        let (password, ca) = (self.database_password.as_ref(), self.database_ca.as_deref());
        if let Some(trouble) = access_trouble(&self.database, password, ca, is_flag) {
            return Some(trouble);
        }
        let trouble = |setting, text: &str| Some((setting, Invalid::Database(text.to_owned())));
        let connections = Setting::DatabaseConnections;
        let is_default = self.shown(connections).as_deref() == connections.row().default.text();
        match &self.database {
            Location::File(_) if !is_default => trouble(connections, FOR_SERVERS),
            Location::Server(_) if self.durability != Durability::Full => {
                let text = "PostgreSQL decides what a commit survives: leave it out, and set synchronous_commit of the \
                            role or the database there";
                trouble(Setting::Durability, text)
            }
            _ => None,
        }
    }
}

fn read(setting: Setting, given: &Given) -> Result<Location, ConfigError> {
    database().read(&given.text).map_err(|because| refused(setting, given, because))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_for_a_server_is_shown_without_what_may_be_a_password() {
        for (text, shown) in [
            ("v.sqlite", "v.sqlite"),
            ("/a@b/v.sqlite", "/a@b/v.sqlite"),
            ("postgres://h:5432/v", "postgres://h:5432/v"),
            ("postgres://u:hidden@h/v?password=hidden", "postgres://REDACTED@h/v?REDACTED"),
            ("postgres://u:hid@den@h/v", "postgres://REDACTED@h/v"),
            ("postgres://u:hidden", "postgres://REDACTED"),
            ("mysql://u:hidden/v", "mysql://REDACTED"),
            ("host=h password=hidden", "REDACTED"),
        ] {
            assert_eq!(redacted(text), shown, "{text}");
            assert!(!format!("{:?}", DatabaseArg(text.into())).contains("hidden"), "{text}");
        }
    }
}
