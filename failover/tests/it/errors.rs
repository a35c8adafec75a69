//! The errors of a failover: their texts, their chains, and the layers outside that box them.

use std::error::Error as StdError;
use std::future::ready;
use std::io;
use std::time::Duration;

use failover::error::BoxedError;
use failover::keyed::KeyedFailover;
use failover::monitor::KeyedMonitors;
use failover::{Error, FailoverLayer, Policy, Rescue, Route};
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

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

fn chain(error: &dyn StdError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    texts.extend(error.source().map(chain).unwrap_or_default());
    texts
}

#[tokio::test]
async fn an_error_names_the_service_and_its_source_is_the_inner_error_itself() {
    let mut service = layer(broken("down as well")).layer(broken("down"));
    let error = service.send(()).await.unwrap_err();
    assert_eq!((chain(&error), error.route()), (texts(["primary failed", "down"]), Route::Primary));
    assert!(error.source().unwrap().is::<io::Error>());
    assert!(error.primary().is_some() && error.fallback().is_none());
    service.handle().force(Route::Fallback);
    let error = service.send(()).await.unwrap_err();
    let expected = texts(["fallback failed", "down as well"]);
    assert_eq!((chain(&error), error.route()), (expected, Route::Fallback));
    assert!(error.primary().is_none() && error.fallback().is_some());
}

#[tokio::test]
async fn boxed_by_the_layer_it_names_the_failover_too() {
    let layer = layer(broken("down as well")).named("prices").boxed_errors();
    let mut service = layer.layer(broken("down"));
    let error: BoxedError = service.send(()).await.unwrap_err();
    assert_eq!((error.name(), error.route()), (Some("prices"), Route::Primary));
    assert_eq!(chain(&error), ["primary of \"prices\" failed", "down"]);
    assert!(error.source().unwrap().is::<io::Error>());
    assert!(error.primary().unwrap().is::<io::Error>() && error.fallback().is_none());
    layer.handle().force(Route::Fallback);
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(chain(&error), ["fallback of \"prices\" failed", "down as well"]);
    assert!(error.primary().is_none() && error.fallback().unwrap().is::<io::Error>());
    assert_eq!(error.into_error().into_inner().to_string(), "down as well");
}

#[tokio::test]
async fn without_a_name_a_boxed_error_says_which_service_failed() {
    let service = layer(broken("down as well")).boxed_errors().layer(broken("down"));
    let error = service.oneshot(()).await.unwrap_err();
    assert_eq!((error.name(), chain(&error)), (None, texts(["primary failed", "down"])));
}

#[tokio::test]
async fn of_two_errors_the_text_has_the_primarys_and_the_source_is_the_fallbacks() {
    let layer = layer(broken("down as well")).named("prices").rescue(Rescue::cloning());
    let error = layer.clone().boxed_errors().layer(broken("down")).send(()).await.unwrap_err();
    assert_eq!(error.route(), Route::Fallback);
    let expected = ["primary of \"prices\" failed (down), and so did the fallback", "down as well"];
    assert_eq!(chain(&error), expected);
    let error = layer.layer(broken("down")).send(()).await.unwrap_err();
    let expected = ["primary failed (down), and so did the fallback", "down as well"];
    assert_eq!(chain(&error), expected);
}

#[tokio::test]
async fn a_fallback_that_fails_to_become_ready_is_an_error_with_the_name() {
    let (fallback, worker) = Buffer::pair(broken("unused"), 1);
    drop(worker);
    let layer = layer(fallback).named("prices").boxed_errors();
    layer.handle().force(Route::Fallback);
    let error = layer.layer(broken("down")).send(()).await.unwrap_err();
    assert_eq!(error.to_string(), "fallback of \"prices\" failed");
}

#[tokio::test]
async fn every_layer_boxes_errors() {
    let observed = layer(broken("")).named("prices").on_call(|_| ()).boxed_errors();
    let error = observed.layer(broken("down")).send(()).await.unwrap_err();
    assert_eq!(chain(&error), ["primary of \"prices\" failed", "down"]);
}

#[tokio::test]
async fn the_error_of_a_key_reaches_its_caller() {
    let hosts = KeyedMonitors::new(Policy::default(), 10.try_into().unwrap());
    let mut service: KeyedFailover<_, _, _, _> =
        hosts.layer(broken("down as well"), |(): &()| "a.example").layer(broken("down"));
    assert_eq!(chain(&service.send(()).await.unwrap_err()), ["primary failed", "down"]);
}

#[test]
fn the_alternate_text_has_the_services_texts() {
    let one = Error::<_, &str>::Primary("down");
    assert_eq!(format!("{one:#}"), "primary failed: down");
    let both = Error::Both { primary: one, fallback: "down as well" };
    let text = "primary failed (primary failed: down), and so did the fallback: down as well";
    assert_eq!(format!("{both:#}"), text);
}

#[test]
fn boxes_are_transparent() {
    let down: BoxError = io::Error::other("down").into();
    let error: Error<BoxError, io::Error> = Error::Primary(down);
    let error = error.into_boxed();
    assert_eq!(chain(&error), ["primary failed", "down"]);
    assert!(error.source().unwrap().is::<io::Error>());
}

/// The chain continues below a boxed error with what that one names as its source.
#[test]
fn a_boxed_chain_is_as_long_as_the_same_chain_without_boxes() {
    let lower = || -> Pair { Error::Fallback(io::Error::other("down")) };
    let upper: Error<Pair, Pair> = Error::Fallback(lower());
    let boxed: BoxedError = Error::<Pair, Pair>::Fallback(lower()).into_boxed();
    assert_eq!(chain(&upper), ["fallback failed", "fallback failed", "down"]);
    assert_eq!(chain(&boxed), chain(&upper));
    assert!(boxed.source().unwrap().is::<Pair>());
}

#[tokio::test]
async fn boxed_errors_are_found_again_outside_buffer_timeout_and_load_shed() {
    let layer = layer(broken("down as well")).named("prices");
    let inside = ServiceBuilder::new()
        .layer(layer.boxed_errors())
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
            let layer = layer.rescue(Rescue::cloning()).boxed_errors();
            layer.layer(broken("down")).send(()).await?;
        } else {
            layer.boxed_errors().layer(broken("down")).send(()).await?;
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
