//! The manual: how a failover works, what to choose, what it costs, and how it is checked.
//!
//! | page | what it answers |
//! |---|---|
//! | [`phases`] | Where does a call go, and what makes a transition? |
//! | [`options`] | Which options are there, and what does each add to a call? |
//! | [`choosing`] | Which threshold, minimum, window and time? |
//! | [`errors`] | How do errors go on: `?`, `ServiceBuilder`, `match`, thiserror, anyhow, tonic? |
//! | [`observing`] | Which signals are there, and how do they get to `metrics`, OpenTelemetry and `TraceLayer`? |
//! | [`cost`] | What does a call pay, measured next to three circuit breakers? |
//! | [`neighbours`] | How does it differ from those three? |
//! | [`coming_from`] | What are the terms and settings of failsafe, recloser, resilience4j and Polly called here? |
//! | [`counting`] | How does the window count without a lock, and why is no trip missed? |
//! | [`checking`] | Which tests, models and tools hold all this? |

#[doc = include_str!("phases.md")]
pub mod phases {}

#[doc = include_str!("options.md")]
pub mod options {}

#[doc = include_str!("choosing.md")]
pub mod choosing {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("observing.md")]
pub mod observing {}

#[doc = include_str!("cost.md")]
pub mod cost {}

#[doc = include_str!("neighbours.md")]
pub mod neighbours {}

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("counting.md")]
pub mod counting {}

#[doc = include_str!("checking.md")]
pub mod checking {}
