//! What each path does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};

use super::answers::{Answer, Problem, answer, json, text};
use super::{Failover, Guard, Kind, Operated, orders};

/// How many events are answered where the request does not say.
const EVENTS: usize = 100;

/// What Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const INDEX: &str = "\
GET  /livez
GET  /readyz?verbose
GET  /metrics
GET  /admin/failovers
GET  /admin/failovers/{name}
GET  /admin/failovers/{name}/events?limit=100
POST /admin/failovers/{name}         {\"updateState\": \"FORCE_PRIMARY|FORCE_FALLBACK|AUTO|RESET\"}
PUT  /admin/failovers/{name}/policy  {\"failure-rate\": \"1/3\", ...}
";

/// The operators' side of a server.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) operated: Arc<dyn Operated>,
    pub(super) guard: Guard,
}

/// What a path names.
#[derive(Clone, Copy, Debug)]
enum Resource<'a> {
    Index,
    Live,
    Ready,
    Metrics,
    Failovers,
    Failover(&'a str),
    Events(&'a str),
    Policy(&'a str),
}

impl<'a> Resource<'a> {
    fn at(path: &'a str) -> Option<Self> {
        let Some(rest) = path.strip_prefix("/admin/failovers/") else {
            return match path {
                "/" => Some(Self::Index),
                "/livez" => Some(Self::Live),
                "/readyz" => Some(Self::Ready),
                "/metrics" => Some(Self::Metrics),
                "/admin/failovers" => Some(Self::Failovers),
                _ => None,
            };
        };
        match rest.split_once('/') {
            None => Some(Self::Failover(rest)),
            Some((name, "events")) => Some(Self::Events(name)),
            Some((name, "policy")) => Some(Self::Policy(name)),
            Some(_) => None,
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Failover(_) => "GET, HEAD, POST, OPTIONS",
            Self::Policy(_) => "PUT, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

impl Desk {
    /// Answers a request from `peer`.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Answer, Infallible> {
        let (parts, body) = request.into_parts();
        let problem = match self.handle(&parts, body, peer).await {
            Ok(answer) => return Ok(answer),
            Err(problem) => problem,
        };
        if matches!(problem.status().as_u16(), 401 | 403 | 421) {
            tracing::warn!(%peer, method = %parts.method, path = parts.uri.path(),
                status = problem.status().as_u16(), "an operator's request was refused");
        }
        Ok(problem.into_answer())
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
            Some(Resource::Live) => true,
            Some(Resource::Ready) => !verbose,
            _ => false,
        };
        self.guard.admit(parts, open)?;
        let resource = resource.ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is no such page; GET / lists those there are",
            )
        })?;
        match (resource, &parts.method) {
            (Resource::Failover(name), &Method::POST) => {
                let failover = self.failover(name)?;
                let order = orders::order(&orders::members(&parts.headers, body).await?)?;
                note(&*failover, peer, order.name().to_owned());
                failover.order(order);
                Ok(json(&failover.view()))
            }
            (Resource::Policy(name), &Method::PUT) => {
                let failover = self.failover(name)?;
                let settings = orders::settings(&orders::members(&parts.headers, body).await?)?;
                failover
                    .amend(&settings)
                    .map_err(|refusal| Problem::field(refusal.field, refusal.message))?;
                let given: Vec<_> =
                    settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                note(&*failover, peer, format!("policy: {}", given.join(", ")));
                Ok(json(&failover.view()))
            }
            (Resource::Policy(_), &Method::GET | &Method::HEAD) => {
                Err(Problem::wrong_method(resource.allow()))
            }
            (resource, &Method::GET | &Method::HEAD) => self.show(resource, parts, verbose),
            (resource, &Method::OPTIONS) => {
                let mut answer = text(StatusCode::NO_CONTENT, "");
                answer.headers_mut().remove(header::CONTENT_TYPE);
                let allow = HeaderValue::from_static(resource.allow());
                answer.headers_mut().insert(header::ALLOW, allow);
                Ok(answer)
            }
            (resource, _) => Err(Problem::wrong_method(resource.allow())),
        }
    }

    /// Shows something, and changes nothing.
    fn show(
        &self,
        resource: Resource<'_>,
        parts: &Parts,
        verbose: bool,
    ) -> Result<Answer, Problem> {
        match resource {
            Resource::Index => Ok(text(StatusCode::OK, INDEX)),
            Resource::Live => Ok(text(StatusCode::OK, "ok\n")),
            Resource::Ready => Ok(self.ready(verbose)),
            Resource::Metrics => {
                let page = self.operated.metrics().map_err(|_| {
                    let message = "the metrics could not be written";
                    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message)
                })?;
                Ok(answer(OPEN_METRICS, page))
            }
            Resource::Failovers => {
                let views: Vec<_> = self.operated.failovers().iter().map(|f| f.view()).collect();
                Ok(json(&views))
            }
            Resource::Failover(name) | Resource::Policy(name) => {
                Ok(json(&self.failover(name)?.view()))
            }
            Resource::Events(name) => {
                let limit = match parameter(parts, "limit") {
                    None => EVENTS,
                    Some(limit) => limit
                        .parse()
                        .map_err(|_| Problem::field("limit", "limit must be a whole number"))?,
                };
                Ok(json(&self.failover(name)?.journal().last(limit)))
            }
        }
    }

    fn ready(&self, verbose: bool) -> Answer {
        let checks = self.operated.readiness();
        let ready = checks.iter().all(|check| check.trouble.is_none());
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut said = String::new();
        for check in checks.iter().filter(|_| verbose) {
            let line = match &check.trouble {
                None => format!("[+] {}: ok\n", check.name),
                Some(trouble) => format!("[-] {}: {trouble}\n", check.name),
            };
            said.push_str(&line);
        }
        said.push_str(if ready { "ready\n" } else { "not ready\n" });
        text(status, said)
    }

    fn failover(&self, name: &str) -> Result<Arc<dyn Failover>, Problem> {
        self.operated.failovers().into_iter().find(|failover| failover.name() == name).ok_or_else(
            || {
                let message = "there is no failover of that name; GET /admin/failovers lists them";
                Problem::new(StatusCode::NOT_FOUND, message)
            },
        )
    }
}

/// What an operator ordered, in the log and among the events.
fn note(failover: &dyn Failover, peer: SocketAddr, order: String) {
    tracing::warn!(failover = failover.name(), %peer, "an operator ordered: {order}");
    failover.journal().note(Kind::Order { from: peer.to_string() }, order);
}

/// The value of a query's parameter, as it came.
fn parameter<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
