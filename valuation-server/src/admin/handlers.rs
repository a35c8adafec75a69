//! The handlers of the paths.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};

use super::answers::{Answer, Problem, answer, empty, json, text};
use super::{
    Failover, Guard, Operated, Refusal, commands, login, page, parameter, report, vehicles,
};
use crate::log_throttle::LogThrottle;
use crate::web::accept::wants_html;
use crate::web::openapi::{self, Side};

/// The default number of events in an answer.
const EVENTS: usize = 100;

/// The content type that Prometheus negotiates.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const INDEX: &str = "\
GET  /                               (this; in a browser the operator's page)
GET  /openapi, /openapi.json
GET  /livez
GET  /readyz?verbose
GET  /metrics
GET  /report?from=2026-10&to=2026-11&by=day&target=99.9%25&format=html|csv|json|table
GET  /admin/cluster
GET  /admin/config
GET  /admin/failovers
GET  /admin/failovers/{name}
GET  /admin/failovers/{name}/events?limit=100
POST /admin/failovers/{name}         {\"updateState\": \"FORCE_PRIMARY|FORCE_FALLBACK\", \"for\": \"2h\", \"reason\": \"...\"}
                                        in a cluster also \"scope\": \"node|fleet\", as in all that follow
POST /admin/failovers/{name}         {\"updateState\": \"AUTO|RESET\", \"reason\": \"...\"}
PUT  /admin/failovers/{name}/policy  {\"failure-rate\": \"1/3\", ...}
                                        null takes a change back; \"persist\": true saves it for later starts
GET  /admin/valuations/{vrm}?limit=100
DELETE /admin/valuations/{vrm}       forgets it: the next PUT asks again
PUT  /admin/failovers/{name}/policy?preview
GET  /login
POST /login                          token=...
POST /logout
";

/// The state that all requests share.
#[derive(Debug)]
pub(super) struct Handlers {
    pub(super) operated: Arc<dyn Operated>,
    pub(super) guard: Guard,
    /// Of the log's lines about requests that were refused.
    pub(super) refusals: LogThrottle,
    /// Of those about logins that failed.
    pub(super) logins: LogThrottle,
}

#[derive(Clone, Copy, Debug)]
enum Resource<'a> {
    Index,
    Asset(&'a str),
    PageNow,
    PageHistory,
    Report,
    Description(openapi::Part),
    Live,
    Ready,
    Metrics,
    Failovers,
    Failover(&'a str),
    Events(&'a str),
    Policy(&'a str),
    Cluster,
    Config,
    /// The segment is not decoded.
    Vehicle(&'a str),
    Login,
    Logout,
}

impl<'a> Resource<'a> {
    fn at(path: &'a str) -> Option<Self> {
        if let Some(segment) = path.strip_prefix("/admin/valuations/") {
            return (!segment.contains('/')).then_some(Self::Vehicle(segment));
        }
        let Some(rest) = path.strip_prefix("/admin/failovers/") else {
            return match path {
                "/" => Some(Self::Index),
                "/page/now" => Some(Self::PageNow),
                "/page/history" => Some(Self::PageHistory),
                "/report" => Some(Self::Report),
                "/livez" => Some(Self::Live),
                "/readyz" => Some(Self::Ready),
                "/metrics" => Some(Self::Metrics),
                "/admin/failovers" => Some(Self::Failovers),
                "/admin/cluster" => Some(Self::Cluster),
                "/admin/config" => Some(Self::Config),
                "/login" => Some(Self::Login),
                "/logout" => Some(Self::Logout),
                path => match path.strip_prefix("/assets/") {
                    Some(name) => (!name.contains('/')).then_some(Self::Asset(name)),
                    None => openapi::Part::at(path).map(Self::Description),
                },
            };
        };
        match rest.split_once('/') {
            None => Some(Self::Failover(rest)),
            Some((name, "events")) => Some(Self::Events(name)),
            Some((name, "policy")) => Some(Self::Policy(name)),
            Some(_) => None,
        }
    }

    /// Whether a browser shows it.
    fn is_page(self) -> bool {
        matches!(self, Self::Index | Self::Report | Self::Description(openapi::Part::Page))
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Failover(_) => "GET, HEAD, POST, OPTIONS",
            Self::Policy(_) => "PUT, OPTIONS",
            Self::Vehicle(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::Login => "GET, HEAD, POST, OPTIONS",
            Self::Logout => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

impl Handlers {
    /// Answers a request of `peer`.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Answer, Infallible> {
        let (parts, body) = request.into_parts();
        let answer = self.handle(&parts, body, peer).await.unwrap_or_else(|problem| {
            if matches!(problem.status.as_u16(), 401 | 403 | 421 | 429)
                && let Some(withheld) = self.refusals.admit()
            {
                tracing::warn!(%peer, method = %parts.method, path = parts.uri.path(),
                    status = problem.status.as_u16(), withheld,
                    "an operator's request was refused");
            }
            problem.into_answer()
        });
        Ok(answer)
    }

    async fn handle(
        &self,
        parts: &Parts,
        body: Incoming,
        peer: SocketAddr,
    ) -> Result<Answer, Problem> {
        let resource = Resource::at(parts.uri.path());
        let verbose = parameter(parts, "verbose").is_some();
        let open = match resource {
            Some(Resource::Live | Resource::Login | Resource::Logout | Resource::Asset(_)) => true,
            Some(Resource::Ready) => !verbose,
            _ => false,
        };
        // A client that sends a token is no browser, and its token may be a guess.
        if resource.is_some_and(Resource::is_page)
            && matches!(parts.method, Method::GET | Method::HEAD)
            && wants_html(&parts.headers)
            && !parts.headers.contains_key(header::AUTHORIZATION)
            && !self.guard.knows(&parts.headers)
        {
            return Ok(login::page(StatusCode::UNAUTHORIZED, None));
        }
        self.guard.admit(parts, open)?;
        let resource = resource.ok_or_else(|| {
            let message = "there is no such page; GET / lists those there are";
            Problem::new(StatusCode::NOT_FOUND, message)
        })?;
        match (resource, &parts.method) {
            (Resource::Failover(name), &Method::POST) => {
                let failover = self.failover(name)?;
                let members = commands::members(&parts.headers, body).await?;
                let instruction = commands::instruction(&members, peer, failover.has_fleet())?;
                failover.execute(&instruction).map_err(refused)?.await;
                Ok(json(&failover.view()))
            }
            (Resource::Policy(name), &Method::PUT) => {
                let failover = self.failover(name)?;
                let is_preview = commands::is_preview(parts.uri.query())?;
                let members = commands::members(&parts.headers, body).await?;
                let has_fleet = failover.has_fleet();
                let change = commands::policy_change(&members, peer, has_fleet, is_preview)?;
                if is_preview {
                    return Ok(json(&failover.preview(&change).map_err(refused)?));
                }
                failover.reconfigure(&change).map_err(refused)?.await;
                Ok(json(&failover.view()))
            }
            (Resource::Vehicle(segment), &Method::DELETE) => {
                vehicles::forget(&*self.operated, segment, peer.to_string()).await
            }
            (Resource::Login | Resource::Logout, &Method::POST) if !self.guard.has_token() => {
                Ok(login::home(None))
            }
            (Resource::Login, &Method::POST) => {
                login::log_in(&self.guard, &parts.headers, body, peer, &self.logins).await
            }
            (Resource::Logout, &Method::POST) => Ok(login::log_out(&self.guard, &parts.headers)),
            (Resource::Logout, &Method::GET | &Method::HEAD) => {
                Err(Problem::wrong_method(resource.allow()))
            }
            (Resource::Policy(_), &Method::GET | &Method::HEAD) => {
                Err(Problem::wrong_method(resource.allow()))
            }
            (Resource::Report, &Method::GET | &Method::HEAD) => {
                report::show(&*self.operated, parts).await
            }
            (resource, &Method::GET | &Method::HEAD) => self.show(resource, parts, verbose).await,
            (resource, &Method::OPTIONS) => {
                let mut answer = empty();
                let allow = HeaderValue::from_static(resource.allow());
                answer.headers_mut().insert(header::ALLOW, allow);
                Ok(answer)
            }
            (resource, _) => Err(Problem::wrong_method(resource.allow())),
        }
    }

    /// Answers a GET. Changes nothing.
    async fn show(
        &self,
        resource: Resource<'_>,
        parts: &Parts,
        verbose: bool,
    ) -> Result<Answer, Problem> {
        match resource {
            Resource::Index if wants_html(&parts.headers) => {
                let has_session = self.guard.sessions().has(&parts.headers);
                Ok(page::page(&*self.operated, has_session).await)
            }
            Resource::Index | Resource::Report => Ok(text(StatusCode::OK, INDEX)),
            Resource::Asset(name) => page::asset(name, &parts.headers),
            Resource::PageNow => Ok(page::now(&*self.operated, &parts.headers).await),
            Resource::PageHistory => Ok(page::history(&*self.operated, &parts.headers).await),
            Resource::Login | Resource::Logout => Ok(login::page(StatusCode::OK, None)),
            Resource::Description(part) => Ok(part.answer(Side::Operators, &parts.headers)),
            Resource::Live => Ok(text(StatusCode::OK, "ok\n")),
            Resource::Ready => Ok(self.ready(verbose)),
            Resource::Metrics => {
                let page = self.operated.metrics().await.map_err(|_| {
                    let message = "the metrics could not be written";
                    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message)
                })?;
                Ok(answer(OPEN_METRICS, page))
            }
            Resource::Cluster => {
                self.operated.cluster().map(|cluster| json(&cluster)).ok_or_else(|| {
                    let message = "this server is in no cluster: --cluster names the bus of one";
                    Problem::new(StatusCode::NOT_FOUND, message)
                })
            }
            Resource::Config => Ok(json(&self.operated.configuration())),
            Resource::Failovers => {
                let views: Vec<_> = self.operated.failovers().iter().map(|f| f.view()).collect();
                Ok(json(&views))
            }
            Resource::Failover(name) | Resource::Policy(name) => {
                Ok(json(&self.failover(name)?.view()))
            }
            Resource::Vehicle(segment) => vehicles::show(&*self.operated, segment, parts).await,
            Resource::Events(name) => {
                let limit = parameter(parts, "limit").map_or(Ok(EVENTS), str::parse);
                let limit =
                    limit.map_err(|_| Problem::field("limit", "limit must be a whole number"))?;
                Ok(json(&self.failover(name)?.journal().last(limit)))
            }
        }
    }

    fn ready(&self, verbose: bool) -> Answer {
        let checks = self.operated.readiness();
        let mut body = String::new();
        for check in checks.iter().filter(|_| verbose) {
            let (sign, state) = match &check.trouble {
                None => ('+', "ok"),
                Some(trouble) => ('-', trouble.as_str()),
            };
            body += &format!("[{sign}] {}: {state}\n", check.name);
        }
        if verbose {
            let warnings = self.operated.warnings();
            body.extend(warnings.iter().map(|warning| format!("[!] {}\n", warning.text)));
        }
        let (status, summary) = if checks.iter().all(|check| check.trouble.is_none()) {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        };
        text(status, body + summary)
    }

    fn failover(&self, name: &str) -> Result<Arc<dyn Failover>, Problem> {
        let found = self.operated.failovers().into_iter().find(|failover| failover.name() == name);
        found.ok_or_else(|| {
            let message = "there is no failover of that name; GET /admin/failovers lists them";
            Problem::new(StatusCode::NOT_FOUND, message)
        })
    }
}

fn refused(refusal: Refusal) -> Problem {
    Problem::field(refusal.field, refusal.message)
}
