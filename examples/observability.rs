//! The signals of a failover: calls to the `metrics` facade and to OpenTelemetry, transitions to the
//! log, and the route to the span of each request, by tower-http's `TraceLayer`.
//!
//! `cargo run -p examples --features observability --example observability`

#[path = "observability/show.rs"]
mod show;

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use failover::clock::TokioClock;
use failover::http::HttpFailoverLayer;
use failover::on_call::Call;
use failover::trace::TracingObserver;
use failover::{Event, Monitor, Policy, Route};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use metrics_util::debugging::DebuggingRecorder;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tracing::{Span, field, info, info_span};

// The `metrics` facade: a counter and a histogram of calls, and a counter of transitions.
fn count_call(call: &Call<'_>) {
    let name = call.name.unwrap_or("failover").to_owned();
    let (route, outcome) = (call.route.as_str(), call.outcome_str());
    let labels = [("name", name), ("route", route.into()), ("outcome", outcome.into())];
    metrics::counter!("calls_total", &labels).increment(1);
    metrics::histogram!("call_duration_seconds", &labels).record(call.duration);
}

fn count_transition(event: &Event) {
    let (to, cause) = (event.to.as_str(), event.cause.as_str());
    metrics::counter!("transitions_total", "to" => to, "cause" => cause).increment(1);
}

// OpenTelemetry: the instruments are made once.
fn record_calls(meter: &Meter) -> impl Fn(&Call<'_>) + Send + Sync + 'static {
    let calls = meter.u64_counter("calls").build();
    let durations = meter.f64_histogram("call.duration").with_unit("s").build();
    move |call| {
        let attributes = [
            KeyValue::new("name", call.name.unwrap_or("failover").to_owned()),
            KeyValue::new("route", call.route.as_str()),
            KeyValue::new("outcome", call.outcome_str()),
        ];
        calls.add(1, &attributes);
        durations.record(call.duration.as_secs_f64(), &attributes);
    }
}

/// A server that answers with this status after this time.
fn server(
    status: StatusCode,
    time: Duration,
) -> impl Service<Request<String>, Response = Response<String>, Error = Infallible> + Clone {
    service_fn(move |_: Request<String>| async move {
        tokio::time::sleep(time).await;
        let mut response = Response::new("an answer".to_owned());
        *response.status_mut() = status;
        Ok(response)
    })
}

// Tokio's clock is paused, so all durations are exact.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(io::stdout).init();
    let recorder = DebuggingRecorder::new();
    let facade = recorder.snapshotter();
    recorder.install()?;
    let provider = SdkMeterProvider::builder().with_periodic_exporter(show::Lines).build();
    let meter = provider.meter("app");

    let primary = server(StatusCode::SERVICE_UNAVAILABLE, Duration::from_millis(250));
    let fallback = server(StatusCode::OK, Duration::from_millis(500));
    let policy = Policy::builder().minimum_calls(3).build()?;
    let failover =
        HttpFailoverLayer::with_monitor(fallback, Monitor::with_clock(policy, TokioClock::new()))
            .named("valuations")
            .observe(TracingObserver)
            .observe(count_transition)
            .on_call(count_call)
            .on_call(record_calls(&meter));

    // tower-http: the span of each request has the route that its call took.
    let trace = TraceLayer::new_for_http()
        .make_span_with(|request: &Request<_>| {
            info_span!("request", path = request.uri().path(), route = field::Empty)
        })
        .on_response(|response: &Response<_>, _: Duration, span: &Span| {
            if let Some(route) = response.extensions().get::<Route>() {
                span.record("route", route.as_str());
            }
            info!(status = response.status().as_u16(), "answered");
        });
    // The other lines of `TraceLayer` are not needed here.
    let trace = trace.on_request(()).on_body_chunk(()).on_eos(()).on_failure(());
    let mut service = trace.layer(failover.layer(primary));
    for number in 1..=5 {
        let request = Request::get(format!("/{number}")).body(String::new())?;
        let response = service.ready().await?.call(request).await?;
        // The end of the body is the end of the call.
        response.into_body().collect().await?;
    }
    // The caller gives up: dropped.
    let request = Request::get("/6").body(String::new())?;
    let call = service.ready().await?.call(request);
    assert!(tokio::time::timeout(Duration::from_millis(125), call).await.is_err());

    println!("\nthe `metrics` facade:");
    show::facade(facade.snapshot());
    println!("\nOpenTelemetry:");
    provider.shutdown()?;
    Ok(())
}
