//! The route of a response, and the memory of a call: HARD-WON 32.

use std::sync::{Arc, Mutex};

use failover::Route;
use failover::http::{HttpClassify, HttpFailoverLayer};
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
                assert_eq!(response.extensions().get::<Route>(), None);
                read(&mut response.into_body());
            }
        });
        assert_eq!(allocations.count_total, 0, "{route:?}: {allocations:?}");
    }
}
