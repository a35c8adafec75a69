//! The errors of a failover: their texts, their chains, and the layers outside that box them.

use std::error::Error as StdError;
use std::future::ready;
use std::io;
use std::time::Duration;

use failover::error::BoxedError;
use failover::keyed::KeyedFailover;
use failover::monitor::KeyedMonitors;
use failover::{Error, ErrorKind, FailoverLayer, Policy, Rescue, Route};
use tower::buffer::Buffer;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

type Pair = Error<io::Error, io::Error>;

fn broken(
    text: &'static str,
) -> impl Service<(), Response = (), Error = io::Error, Future: Send> + Clone + Send + 'static {
    service_fn(move |()| ready(Err(io::Error::other(text))))
}

fn layer<F>(fallback: F) -> FailoverLayer<F> {
    FailoverLayer::with_fallback(fallback, Policy::default())
}

fn chain(error: &dyn StdError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    texts.extend(error.source().map(chain).unwrap_or_default());
    texts
}

#[tokio::test]
async fn an_error_names_the_failover_and_the_service_and_its_source_is_the_inner_error_itself() {
    let layer = layer(broken("down as well")).named("prices");
    let mut service = layer.layer(broken("down"));
    let error = service.send(()).await.unwrap_err();
    assert_eq!((error.name(), error.route()), (Some("prices"), Route::Primary));
    assert_eq!(chain(&error), ["primary of \"prices\" failed", "down"]);
    assert!(error.source().unwrap().is::<io::Error>());
    assert!(error.primary().is_some() && error.fallback().is_none());
    service.handle().force(Route::Fallback);
    let error = service.send(()).await.unwrap_err();
    assert_eq!((error.name(), error.route()), (Some("prices"), Route::Fallback));
    assert_eq!(chain(&error), ["fallback of \"prices\" failed", "down as well"]);
    assert!(error.primary().is_none() && error.fallback().is_some());
}

#[tokio::test]
async fn an_error_of_a_failover_without_a_name_says_which_service_failed() {
    let error = layer(broken("down as well")).layer(broken("down")).send(()).await.unwrap_err();
    assert_eq!(error.name(), None);
    assert_eq!(chain(&error), ["primary failed", "down"]);
}

#[tokio::test]
async fn of_two_errors_the_text_has_the_primarys_and_the_source_is_the_fallbacks() {
    let layer = layer(broken("down as well")).named("prices").rescue(Rescue::cloning());
    let error = layer.layer(broken("down")).send(()).await.unwrap_err();
    assert_eq!(error.route(), Route::Fallback);
    let expected = ["primary of \"prices\" failed (down), and so did the fallback", "down as well"];
    assert_eq!(chain(&error), expected);
}

#[tokio::test]
async fn a_fallback_that_fails_to_become_ready_is_an_error_with_the_name() {
    let (fallback, worker) = Buffer::pair(broken("unused"), 1);
    drop(worker);
    let mut service = layer(fallback).named("prices").layer(broken("down"));
    service.handle().force(Route::Fallback);
    let error = service.send(()).await.unwrap_err();
    assert_eq!(error.to_string(), "fallback of \"prices\" failed");
}

#[tokio::test]
async fn the_error_of_a_key_reaches_its_caller() {
    let hosts = KeyedMonitors::new(Policy::default(), 10.try_into().unwrap());
    let mut service: KeyedFailover<_, _, _, _> =
        hosts.layer(broken("down as well"), |(): &()| "a.example").layer(broken("down"));
    assert_eq!(chain(&service.send(()).await.unwrap_err()), ["primary failed", "down"]);
}

#[test]
fn errors_are_equal_if_their_kinds_are_and_the_alternate_text_has_the_services() {
    let kind = ErrorKind::<_, &str>::Primary("down");
    assert_eq!(Error::from(kind), kind.into());
    assert_ne!(Error::from(kind), ErrorKind::Fallback("down").into());
    assert_eq!(format!("{:#}", Error::from(kind)), "primary failed: down");
    let both = Error::from(ErrorKind::Both { primary: kind, fallback: "down as well" });
    let both = both.map_primary(Error::from);
    let text = "primary failed (primary failed: down), and so did the fallback: down as well";
    assert_eq!(format!("{both:#}"), text);
}

#[test]
fn boxed_errors_are_transparent_and_boxing_them_again_changes_nothing() {
    let down: BoxError = io::Error::other("down").into();
    let error: Error<BoxError, io::Error> = ErrorKind::Primary(down).into();
    let twice: BoxedError = error.into_boxed().into_boxed();
    assert_eq!(chain(&twice), ["primary failed", "down"]);
    assert!(twice.source().unwrap().is::<io::Error>());
    assert!(twice.into_inner().into_inner().is::<io::Error>());
}

/// The chain continues below a boxed error with what that one names as its source.
#[test]
fn a_boxed_chain_is_as_long_as_the_same_chain_without_boxes() {
    let lower = || -> Pair { ErrorKind::Fallback(io::Error::other("down")).into() };
    let upper: Error<Pair, Pair> = ErrorKind::Fallback(lower()).into();
    let boxed: BoxedError = Error::<Pair, Pair>::from(ErrorKind::Fallback(lower())).into_boxed();
    assert_eq!(chain(&upper), ["fallback failed", "fallback failed", "down"]);
    assert_eq!(chain(&boxed), chain(&upper));
    assert!(boxed.source().unwrap().is::<Pair>());
}

#[tokio::test]
async fn boxed_errors_are_found_again_outside_buffer_timeout_and_load_shed() {
    let layer = layer(broken("down as well")).named("prices");
    let inside = ServiceBuilder::new()
        .map_err(Error::into_boxed)
        .layer(layer.clone())
        .timeout(Duration::from_secs(60))
        .service(broken("down"));
    let outside = ServiceBuilder::new().load_shed().buffer(4).timeout(Duration::from_secs(60));
    let error: BoxError = outside.service(inside).oneshot(()).await.unwrap_err();
    let error: &BoxedError = error.downcast_ref().unwrap();
    assert_eq!(chain(error), ["primary of \"prices\" failed", "down"]);
    assert!(error.source().unwrap().is::<io::Error>());
}

#[tokio::test]
async fn anyhow_says_no_message_twice() {
    async fn call(rescue: bool) -> anyhow::Result<()> {
        let layer = layer(broken("down as well")).named("prices");
        if rescue {
            layer.rescue(Rescue::cloning()).layer(broken("down")).send(()).await?;
        } else {
            layer.layer(broken("down")).send(()).await.map_err(Error::into_boxed)?;
        }
        Ok(())
    }
    let one = call(false).await.unwrap_err();
    assert_eq!(format!("{one:#}"), "primary of \"prices\" failed: down");
    assert!(one.chain().any(<dyn StdError>::is::<io::Error>));
    let both = call(true).await.unwrap_err();
    let text = "primary of \"prices\" failed (down), and so did the fallback: down as well";
    assert_eq!(format!("{both:#}"), text);
}

#[tokio::test]
async fn an_anyhow_error_of_a_service_is_boxed_with_its_context() {
    let primary = service_fn(|()| {
        ready(Err::<(), _>(anyhow::Error::new(io::Error::other("down")).context("asking")))
    });
    let error = layer(broken("")).layer(primary).send(()).await.unwrap_err().into_boxed();
    assert_eq!(chain(&error), ["primary failed", "asking", "down"]);
    let error = anyhow::Error::new(error);
    assert_eq!(format!("{error:#}"), "primary failed: asking: down");
}

#[test]
fn a_boxed_error_goes_anywhere() {
    fn anywhere<E: StdError + Send + Sync + 'static>() {}
    anywhere::<BoxedError>();
    anywhere::<Pair>();
}
