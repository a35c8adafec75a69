//! Two more servers: a bare one as the baseline of all measurements, and ours without providers. This
//! program starts itself again as either.

use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use valuation_server::app::Stored;
use valuation_server::domain::{
    CallOutcome, Money, Provider, ProviderCall, Quote, QuoteError, QuoteRequest,
};
use valuation_server::http::{Options, serve};
use valuation_server::store::{Store, StoreConfig};
use valuation_server::valuer::{Bounds, Quotes, Valuer};

use crate::Failed;

/// A body as long as a valuation's.
const BODY: &[u8; 120] = &[b'x'; 120];

/// hyper and nothing else: 120 bytes from memory.
pub(crate) async fn bare() -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|_: Request<Incoming>| async {
                let mut answer = Response::new(Full::new(Bytes::from_static(BODY)));
                let json = HeaderValue::from_static("application/json");
                answer.headers_mut().insert(CONTENT_TYPE, json);
                Ok::<_, Infallible>(answer)
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Our server on a database, with immediate quotes, each with the record of a call. It ends when its
/// standard input does, and reports the size of its commits.
pub(crate) async fn without_a_hop(database: &Path) -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let store = Store::open(&StoreConfig::new(database)).await?;
    let bounds = Bounds::default();
    let valuer = Valuer::within(bounds, Arc::new(Stored(store.clone())), Quotes::new(Instant));
    eprintln!("listening on http://{}", listener.local_addr()?);
    let ended = tokio::task::spawn_blocking(|| drop(std::io::stdin().read(&mut [0])));
    serve(listener, valuer, Options::default(), async { drop(ended.await) }).await;
    store.shutdown().await;
    let stats = store.stats();
    eprintln!("rows {} transactions {}", stats.rows.get(), stats.transactions.get());
    Ok(())
}

/// Quotes without a provider.
#[derive(Clone)]
struct Instant;

impl tower::Service<QuoteRequest> for Instant {
    type Response = Quote;
    type Error = QuoteError;
    type Future = std::future::Ready<Result<Quote, QuoteError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), QuoteError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: QuoteRequest) -> Self::Future {
        request.trail.push(ProviderCall {
            vrm: request.vrm.clone(),
            provider: Provider::SuperCar,
            requested_at: SystemTime::now(),
            duration: Duration::from_millis(1),
            url: format!("http://127.0.0.1:3001/valuations/{}?mileage=10000", request.vrm),
            response_code: Some(200),
            error: None,
            outcome: CallOutcome::Success,
            rescue: false,
        });
        let money = |pence| Money::from_pence(pence).expect("below the largest amount");
        let quote = Quote::new(money(2_235_000), money(2_475_050), Provider::SuperCar);
        std::future::ready(Ok(quote.expect("the lower value is lower")))
    }
}
