//! The bodies of commands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::answers::Problem;
use super::{Command, Instruction, PolicyChange, Scope, body};

/// The largest body that is read, in bytes.
const LARGEST: usize = 16 * 1024;

/// The commands by their names.
const COMMANDS: [(&str, Command); 4] = [
    ("FORCE_PRIMARY", Command::ForcePrimary),
    ("FORCE_FALLBACK", Command::ForceFallback),
    ("AUTO", Command::Auto),
    ("RESET", Command::Reset),
];

/// What a command consists of.
const MEMBERS: [&str; 4] = ["updateState", "for", "reason", SCOPE];
/// Which nodes an order is for.
const SCOPE: &str = "scope";
/// Whether a change of the policy is saved.
const PERSIST: &str = "persist";
/// The bounds of the time for which a route is forced.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The longest reason, in characters.
const REASON: usize = 200;

impl Command {
    /// Its name in a request.
    #[must_use]
    pub fn name(self) -> &'static str {
        COMMANDS.iter().find(|(_, command)| *command == self).map_or("", |(name, _)| name)
    }
}

type Members = BTreeMap<String, Box<RawValue>>;

/// Reads a body, which must be a JSON object.
pub(super) async fn members(headers: &HeaderMap, body: Incoming) -> Result<Members, Problem> {
    // A browser's page may send other types to any site without a preflight.
    let body = body::read(headers, body, "application/json", LARGEST).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message =
            format!("the body must be a JSON object: it is not at line {line} column {column}");
        Problem::new(StatusCode::BAD_REQUEST, message)
    })
}

/// Which nodes an order is for. In a fleet it must be said: an order for one node that was meant for all,
/// or the reverse, is a mistake that is seen late.
fn scope(members: &Members, has_fleet: bool) -> Result<Scope, Problem> {
    let wrong = |message: &'static str| Err(Problem::field(SCOPE, message));
    match (members.contains_key(SCOPE), text(members, SCOPE).as_deref(), has_fleet) {
        (false, _, false) | (_, Some("node"), _) => Ok(Scope::Node),
        (_, Some("fleet"), true) => Ok(Scope::Fleet),
        (_, Some("fleet"), false) => wrong("this server is in no cluster: leave scope out"),
        (_, _, true) => {
            wrong("scope must be node (this server alone) or fleet (all nodes of its cluster)")
        }
        (true, _, false) => {
            wrong("scope must be node, or be left out: this server is in no cluster")
        }
    }
}

/// `{"updateState": "…"}`, perhaps with `for`, `reason` and `scope`, from this address.
pub(super) fn instruction(
    members: &Members,
    peer: SocketAddr,
    has_fleet: bool,
) -> Result<Instruction, Problem> {
    if let Some(other) = members.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        let message = format!(
            "there is no {other:?}; send updateState and, if wanted, for, reason and scope"
        );
        return Err(Problem::field(other, message));
    }
    let given = text(members, "updateState").unwrap_or_default();
    let command = COMMANDS.iter().find(|(name, _)| *name == given).map(|(_, command)| *command);
    let command = command.ok_or_else(|| {
        let names = COMMANDS.map(|(name, _)| name).join(", ");
        Problem::field("updateState", format!("updateState must be one of {names}"))
    })?;
    let (reason, lasts) = (reason(members)?, lasts(members)?);
    if lasts.is_some() && matches!(command, Command::Auto | Command::Reset) {
        let message = "only a forced route has an end: leave `for` out";
        return Err(Problem::field("for", message));
    }
    let scope = scope(members, has_fleet)?;
    let at = Timestamp::now();
    let until = lasts.map(|lasts| at.saturating_add(lasts).unwrap_or(Timestamp::MAX));
    Ok(Instruction { command, by: peer.to_string(), at, until, reason, scope })
}

/// How long a forced route lasts; `None` if it has no end.
fn lasts(members: &Members) -> Result<Option<Duration>, Problem> {
    if !members.contains_key("for") {
        return Ok(None);
    }
    let given = text(members, "for").and_then(|text| humantime::parse_duration(&text).ok());
    given.filter(|lasts| (SHORTEST..=LONGEST).contains(lasts)).map(Some).ok_or_else(|| {
        let message = "for must be a duration with its unit, from 1s to 30days, such as 15m or 2h; \
                       without it the route stays forced until it is released";
        Problem::field("for", message)
    })
}

fn reason(members: &Members) -> Result<Option<String>, Problem> {
    if !members.contains_key("reason") {
        return Ok(None);
    }
    let given = text(members, "reason").filter(|text| {
        text.chars().count() <= REASON && text.contains(is_visible) && !text.contains(is_control)
    });
    given.map(Some).ok_or_else(|| {
        let message = format!(
            "reason must be a text of 1 to {REASON} characters on one line: with a visible one, and none \
             that controls the direction of text"
        );
        Problem::field("reason", message)
    })
}

/// Whether it changes how the text around it is shown: line ends, and the direction of text.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether there is something to see. Not all invisible characters are known here.
fn is_visible(c: char) -> bool {
    !c.is_whitespace()
        && !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Whether the query of a change of the policy asks for a preview. All others are refused: a misspelt
/// one would change the policy.
pub(super) fn is_preview(query: Option<&str>) -> Result<bool, Problem> {
    let query = query.unwrap_or_default();
    if let Some(other) = query.split('&').find(|pair| !matches!(*pair, "" | "preview" | "preview="))
    {
        let name = other.split('=').next().unwrap_or_default();
        let message = "nothing was changed: send ?preview, without a value, for a preview, and no query for \
                       a change";
        return Err(Problem::field(name, message));
    }
    Ok(query.contains("preview"))
}

/// The text of a member; `None` if it is missing or no text.
fn text(members: &Members, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// `{"failure-rate": "1/3", …}`, perhaps with `persist` and `scope`, from this address. A preview may be
/// without a scope in a fleet, too.
pub(super) fn policy_change(
    members: &Members,
    peer: SocketAddr,
    has_fleet: bool,
    is_preview: bool,
) -> Result<PolicyChange, Problem> {
    let (settings, persist) = (settings(members)?, persist(members)?);
    let may_omit = is_preview && !members.contains_key(SCOPE);
    let scope = if may_omit { Scope::Node } else { scope(members, has_fleet)? };
    Ok(PolicyChange { settings, persist, by: peer.to_string(), at: Timestamp::now(), scope })
}

/// Whether a change of the policy is saved.
fn persist(members: &Members) -> Result<bool, Problem> {
    match members.get(PERSIST).map(|value| value.get()) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::field(
            PERSIST,
            "persist must be true (the change is saved for later starts) or false (it lasts until the next one)",
        )),
    }
}

/// A policy's settings by name, each as the text that the configuration would have: strings and
/// numbers as they are, `on` for true and `off` for false, `None` for null. `scope` and `persist` are none of
/// them.
fn settings(members: &Members) -> Result<BTreeMap<String, Option<String>>, Problem> {
    let settings = || members.iter().filter(|(name, _)| ![SCOPE, PERSIST].contains(&name.as_str()));
    if settings().next().is_none() {
        let message = "name at least one setting, such as {\"failure-rate\": \"1/3\"}";
        return Err(Problem::new(StatusCode::BAD_REQUEST, message));
    }
    settings().map(|(name, value)| Ok((name.clone(), setting(name, value)?))).collect()
}

fn setting(name: &str, value: &RawValue) -> Result<Option<String>, Problem> {
    let text = match value.get() {
        "null" => return Ok(None),
        "true" => Some("on".to_owned()),
        "false" => Some("off".to_owned()),
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Some(number.to_owned())
        }
        _ => None,
    };
    let text = text.ok_or_else(|| {
        let message = format!(
            "{name} must be a text, a number, true or false; or null, which takes an operator's change back"
        );
        Problem::field(name, message)
    })?;
    if text.trim() != text || text.contains(is_control) {
        let message = format!(
            "{name} must neither begin nor end with white space, nor have control characters"
        );
        return Err(Problem::field(name, message));
    }
    Ok(Some(text))
}
