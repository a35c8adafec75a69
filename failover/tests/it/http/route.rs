//! The route of a response, and the memory of a call: HARD-WON 32.

use std::sync::{Arc, Mutex};

use failover::http::{HttpClassify, HttpFailoverLayer, Tiers};
use failover::{Rescue, Route};
use http::Response;
use tower::Layer;

use super::body::{Fallback, Primary, answered, read, rig, scripted};
use crate::common::Watched;

#[test]
fn the_route_is_in_the_extensions_of_either_services_answer() {
    let mut rig = rig(HttpClassify::new());
    for route in [Route::Primary, Route::Fallback] {
        rig.watched.handle().force(route);
        let response = rig.call(Ok(Response::new(scripted([])))).unwrap();
        assert_eq!(response.extensions().get(), Some(&route));
        assert_eq!(response.body().route(), route);
    }
}

#[test]
fn a_chain_shows_the_route_of_its_outermost_failover() {
    let watched = Watched::new(failover::Policy::default());
    let answer = Arc::new(Mutex::new(Err("down")));
    let primary = Primary(Arc::clone(&answer));
    let inner = HttpFailoverLayer::with_monitor(Fallback, watched.monitor.clone());
    let outer = Watched::new(failover::Policy::default());
    let layer =
        HttpFailoverLayer::with_monitor(inner.layer(primary.clone()), outer.monitor.clone());
    let mut service = layer.layer(primary);
    watched.handle().force(Route::Fallback);
    outer.handle().force(Route::Fallback);
    let response = answered(&mut service).unwrap();
    assert_eq!(response.extensions().get(), Some(&Route::Fallback));
    *answer.lock().unwrap() = Ok(Response::new(scripted([])));
    outer.handle().force(Route::Primary);
    assert_eq!(answered(&mut service).unwrap().body().route(), Route::Primary);
}

fn tiers<B>(response: &Response<B>) -> String {
    response.extensions().get::<Tiers>().map_or_else(String::new, Tiers::to_string)
}

#[test]
fn an_answer_lists_every_tier_that_it_came_through_with_its_route() {
    let policy = failover::Policy::default;
    let service = Primary(Arc::new(Mutex::new(Ok(Response::new(scripted([]))))));
    let inner = HttpFailoverLayer::with_fallback(service.clone(), policy()).named("stores");
    let unnamed = HttpFailoverLayer::with_fallback(inner.layer(service.clone()), policy());
    let outer =
        HttpFailoverLayer::with_fallback(unnamed.layer(service.clone()), policy()).named("cache");
    let mut service = outer.layer(service);
    assert_eq!(tiers(&answered(&mut service).unwrap()), "cache: primary");
    outer.handle().force(Route::Fallback);
    assert_eq!(tiers(&answered(&mut service).unwrap()), "cache: fallback, primary");
    unnamed.handle().force(Route::Fallback);
    inner.handle().force(Route::Fallback);
    let response = answered(&mut service).unwrap();
    assert_eq!(tiers(&response), "cache: fallback, fallback, stores: fallback");
    assert_eq!(response.extensions().get(), Some(&Route::Fallback));
    let tiers = response.extensions().get::<Tiers>().unwrap().clone();
    // The names outlive the failovers.
    drop((response, service, outer, unnamed, inner));
    let names: Vec<_> = tiers.iter().map(|tier| tier.name()).collect();
    assert_eq!(names, [Some("cache"), None, Some("stores")]);
    assert!(tiers.iter().all(|tier| tier.route() == Route::Fallback));
    assert!(format!("{tiers:?}").contains("stores"));
}

#[test]
fn a_failover_as_the_primary_is_a_tier_too() {
    let policy = failover::Policy::default;
    let service = Primary(Arc::new(Mutex::new(Ok(Response::new(scripted([]))))));
    let inner = HttpFailoverLayer::with_fallback(service.clone(), policy()).named("inner");
    let outer = HttpFailoverLayer::with_fallback(Fallback, policy()).named("outer");
    inner.handle().force(Route::Fallback);
    let response = answered(&mut outer.layer(inner.layer(service))).unwrap();
    assert_eq!(tiers(&response), "outer: primary, inner: fallback");
}

/// The inner failover's own route once stayed, as if it were that of the outer one.
#[test]
fn a_failover_without_the_extension_shows_no_route_of_an_inner_one() {
    let policy = failover::Policy::default;
    let service = Primary(Arc::new(Mutex::new(Ok(Response::new(scripted([]))))));
    let inner = HttpFailoverLayer::with_fallback(service.clone(), policy());
    let plain = HttpFailoverLayer::with_fallback(inner.layer(service.clone()), policy())
        .without_route_extension();
    plain.handle().force(Route::Fallback);
    let mut rescuing =
        plain.clone().rescue(Rescue::with(|(): &()| Some(()))).layer(service.clone());
    let rescued = answered(&mut rescuing).unwrap();
    for response in [answered(&mut plain.layer(service.clone())).unwrap(), rescued] {
        assert_eq!(response.body().route(), Route::Fallback);
        assert!(response.extensions().is_empty(), "{:?}", response.extensions());
    }
    // A failover around it marks the response with its own route only.
    let outer = HttpFailoverLayer::with_fallback(plain.layer(service.clone()), policy());
    outer.handle().force(Route::Fallback);
    assert_eq!(tiers(&answered(&mut outer.layer(service)).unwrap()), "fallback");
}

/// HARD-WON 32.
#[test]
fn a_call_allocates_nothing_without_the_route_in_the_extensions() {
    let watched = Watched::new(failover::Policy::default());
    let answer = Arc::new(Mutex::new(Ok(Response::new(scripted([])))));
    let layer = HttpFailoverLayer::with_monitor(Fallback, watched.monitor.clone());
    let mut service = layer.without_route_extension().layer(Primary(answer));
    drop(answered(&mut service));
    for route in [Route::Primary, Route::Fallback] {
        watched.handle().force(route);
        let allocations = allocation_counter::measure(|| {
            for _ in 0..100 {
                let response = answered(&mut service).unwrap();
                assert!(response.extensions().is_empty());
                read(&mut response.into_body());
            }
        });
        assert_eq!(allocations.count_total, 0, "{route:?}: {allocations:?}");
    }
}
