//! One sentence that explains the route in numbers.

use std::time::{Duration, SystemTime};

use failover::{Ratio, Route, State};

use super::figures::{Decision, Failover, Limit, Limits, Order, Ramp, Reason};
use super::format::{count, counted, duration, percent, roughly, share, short, time};

/// Why the next call goes where it goes.
pub(super) fn sentence(failover: &Failover, now: SystemTime) -> String {
    let names = Names { primary: short(failover.primary), fallback: short(failover.fallback) };
    let decision = &failover.decision;
    let Names { primary, fallback } = names;
    match decision.state {
        State::ForcedPrimary | State::ForcedFallback => names.forced(decision, now),
        _ if decision.dry_run && decision.state != State::Primary => {
            let would = match decision.state {
                State::Probing => format!("a few calls would probe {primary}"),
                State::Ramping => format!("{primary} would be asked for a growing share of calls"),
                _ => format!("{fallback} would be asked because {}", names.reason(decision)),
            };
            format!(
                "{primary} is asked because this is a dry run. Without it {would}{}.",
                names.back(decision.reverts_in)
            )
        }
        State::Fallback => format!(
            "{fallback} is asked because {}{}.",
            names.reason(decision),
            names.back(decision.reverts_in)
        ),
        State::Probing => names.probing(decision),
        State::Ramping => names.ramping(decision),
        // The primary, and a state that this page does not know.
        _ => names.primary(decision),
    }
}

/// The share of calls that the primary gets during a ramp, in percent.
pub(super) fn ramp_share(ramp: Ramp, left: Duration) -> u64 {
    let (first, all) = (u128::from(ramp.first.numerator()), u128::from(ramp.first.denominator()));
    let over = ramp.over.as_nanos().max(1);
    let left = left.as_nanos().min(over);
    // 1 − (1 − first) · left / over, in thousandths of the remaining time to keep the product small.
    let missing = all.saturating_sub(first) * (left * 1_000 / over) / 10 / all.max(1);
    u64::try_from(100_u128.saturating_sub(missing)).unwrap_or(100)
}

struct Names {
    primary: &'static str,
    fallback: &'static str,
}

impl Names {
    fn primary(&self, decision: &Decision) -> String {
        let Names { primary, fallback } = self;
        let Decision { calls, failures, limits, .. } = decision;
        let window = last(limits.window);
        let dry_run =
            if decision.dry_run { " This is a dry run, which diverts no call." } else { "" };
        if *calls == 0 {
            let least = count(limits.minimum_calls);
            return format!(
                "{primary} is asked, and there was no call in the last {window} (limit: more than \
                 {} failed of at least {least}).{dry_run}",
                share(limits.failure_rate)
            );
        }
        let failed = match failures {
            0 => "none".to_owned(),
            failures => count(*failures),
        };
        let missing = match (calls < &limits.minimum_calls, to_the_limit(decision)) {
            (true, _) => "; too few to be evaluated yet".to_owned(),
            (false, None) => String::new(),
            (false, Some(0)) => "; the limit is exceeded, and the next call decides".to_owned(),
            (false, Some(more)) => {
                let failures = counted(more, "more failure");
                format!("; {failures} in a row would change to {fallback}")
            }
        };
        format!(
            "{primary} is asked because {failed} of {} in the last {window} failed ({}){}{missing}.\
             {dry_run}",
            counted(*calls, "call"),
            limit(limits),
            trouble(decision),
        )
    }

    fn probing(&self, decision: &Decision) -> String {
        let Names { primary, fallback } = self;
        let Some(rules) = decision.probing else {
            return format!("{fallback} is asked while a few calls probe {primary}.");
        };
        let calls = counted(rules.max_in_flight.into(), "call");
        let probe = if rules.max_in_flight == 1 { "probes" } else { "probe" };
        let successes = match rules.successes {
            1 => "a success brings".to_owned(),
            successes => format!("{} successes bring", count(successes)),
        };
        format!(
            "{fallback} is asked while up to {calls} at once {probe} {primary}; {successes} all calls \
             back."
        )
    }

    fn ramping(&self, decision: &Decision) -> String {
        let Names { primary, fallback } = self;
        let left = decision.reverts_in.unwrap_or_default();
        let share = match decision.ramp {
            Some(ramp) => format!("about {}% of calls", ramp_share(ramp, left)),
            None => "a growing share of calls".to_owned(),
        };
        let so_far = match decision.calls {
            0 => "no call has been counted yet".to_owned(),
            calls => {
                let calls = counted(calls, "call");
                format!("{} of its last {calls} failed", count(decision.failures))
            }
        };
        format!(
            "{primary} is asked for {share} and {fallback} for the others; all calls go to {primary} \
             in {} unless it fails again: {so_far} ({}).",
            duration(left),
            limit(&decision.limits),
        )
    }

    fn forced(&self, decision: &Decision, now: SystemTime) -> String {
        let (asked, other) = match decision.route {
            Route::Primary => (self.primary, self.fallback),
            Route::Fallback => (self.fallback, self.primary),
        };
        let order = match &decision.order {
            None => format!("an operator forced it instead of {other}, until it is released"),
            Some(order) => by_order(order, now),
        };
        let exceeded =
            decision.limits.failure_rate.is_exceeded_by(decision.failures, decision.calls)
                && decision.calls >= decision.limits.minimum_calls;
        let despite = if decision.route == Route::Primary && exceeded {
            let (failures, calls) = (count(decision.failures), count(decision.calls));
            format!(
                " By its policy {} would be asked: {failures} of the last {calls} calls to {asked} \
                 failed ({}).",
                self.fallback,
                limit(&decision.limits)
            )
        } else {
            String::new()
        };
        format!("{asked} is asked because {order}.{despite}")
    }

    /// Why calls go to the fallback.
    fn reason(&self, decision: &Decision) -> String {
        let Names { primary, .. } = self;
        // The limit of then.
        let exceeded = |limit: Option<Limit>| {
            limit.map_or_else(String::new, |Limit { rate, minimum_calls }| {
                format!(" ({})", limit_of(rate, minimum_calls))
            })
        };
        match &decision.reason {
            &Reason::FailureRate { failures, calls, limit } => format!(
                "{} of the last {} to {primary} failed{}",
                count(failures),
                counted(calls, "call"),
                exceeded(limit)
            ),
            Reason::FleetFailureRate { failures, calls, nodes, scope, limit } => {
                let nodes = match (nodes, scope) {
                    (0, None) => "the fleet".to_owned(),
                    (0, Some(label)) => format!("the nodes with {label}"),
                    (nodes, None) => format!("the fleet's {}", counted(*nodes, "node")),
                    (nodes, Some(label)) => {
                        format!("the {} with {label}", counted(*nodes, "node"))
                    }
                };
                if *calls == 0 {
                    return format!("others of {nodes} went there, and this one followed");
                }
                let (failures, calls) = (count(*failures), counted(*calls, "call"));
                format!(
                    "{failures} of the last {calls} of {nodes} to {primary} failed{}",
                    exceeded(*limit)
                )
            }
            &Reason::SlowCalls { slow, calls, limit } => {
                let (calls, limit) = (counted(calls, "call"), exceeded(limit));
                format!(
                    "{} of the last {calls} to {primary} {} slow{limit}",
                    count(slow),
                    were(slow)
                )
            }
            &Reason::StalledCalls { stalled, admitted: Some(admitted) } => {
                let admitted = counted(admitted, "call");
                format!("{} of {admitted} to {primary} {} stalled", count(stalled), were(stalled))
            }
            &Reason::StalledCalls { stalled, admitted: None } => {
                format!("{} to {primary} {} stalled", counted(stalled, "call"), were(stalled))
            }
            Reason::ProbeFailed => format!("a probe of {primary} failed"),
            Reason::Restored => "it was so before the restart".to_owned(),
        }
    }

    /// When calls go to the primary again.
    fn back(&self, reverts_in: Option<Duration>) -> String {
        match reverts_in {
            None => String::new(),
            Some(Duration::ZERO) => "; back with the next call".to_owned(),
            Some(left) => format!("; back in {}", duration(left)),
        }
    }
}

fn were(number: u64) -> &'static str {
    if number == 1 { "was" } else { "were" }
}

/// `limit: more than 1/2 of at least 10`.
fn limit(limits: &Limits) -> String {
    limit_of(limits.failure_rate, limits.minimum_calls)
}

fn limit_of(rate: Ratio, minimum_calls: u64) -> String {
    format!("limit: more than {} of at least {}", share(rate), count(minimum_calls))
}

/// `minute`, as in “the last minute”; else `5 min`.
fn last(window: Duration) -> String {
    match window.as_nanos() {
        1_000_000_000 => "second".to_owned(),
        60_000_000_000 => "minute".to_owned(),
        3_600_000_000_000 => "hour".to_owned(),
        _ => duration(window),
    }
}

/// Slow and stalled calls, if there are any.
fn trouble(decision: &Decision) -> String {
    let slow = match (decision.slow, decision.limits.slow_rate) {
        (0, _) | (_, None) => String::new(),
        (slow, Some(rate)) => {
            format!(", {} {} slow (limit: more than {})", count(slow), were(slow), share(rate))
        }
    };
    match decision.stalled {
        0 => slow,
        stalled => format!("{slow}, {} stalled", counted(stalled, "call")),
    }
}

fn by_order(order: &Order, now: SystemTime) -> String {
    let Order { by, since, until, reason } = order;
    let ago = now.duration_since(*since).unwrap_or_default();
    let until = match until {
        None => "until it is released".to_owned(),
        Some(until) => {
            let left = until.duration_since(now).unwrap_or_default();
            format!("until {} UTC (for another {})", time(*until, now), duration(left))
        }
    };
    let why = reason.as_ref().map_or_else(String::new, |reason| format!(": “{reason}”"));
    format!("{by} forced it at {} UTC ({} ago), {until}{why}", time(*since, now), roughly(ago))
}

/// How many failures in a row would exceed the limit, which is evaluated from the least number of
/// calls on; `None` if no number would.
fn to_the_limit(decision: &Decision) -> Option<u64> {
    let Decision { calls, failures, limits, .. } = decision;
    let (numerator, denominator) = parts(limits.failure_rate);
    // (failures + n) · denominator > (calls + n) · numerator
    let per_failure = denominator.checked_sub(numerator).filter(|gain| *gain > 0)?;
    let allowed = u128::from(*calls) * numerator;
    let used = u128::from(*failures) * denominator;
    match allowed.checked_sub(used) {
        None => Some(0),
        Some(left) => u64::try_from(left / per_failure + 1).ok(),
    }
}

fn parts(ratio: Ratio) -> (u128, u128) {
    (ratio.numerator().into(), ratio.denominator().into())
}

/// How the failures of the window compare with their limit, for the meter: the share, and the limit,
/// both in thousandths.
pub(super) fn meter(decision: &Decision) -> (u64, u64) {
    let of = |part: u128, whole: u128| {
        u64::try_from((part * 1_000 / whole.max(1)).min(1_000)).unwrap_or(1_000)
    };
    let (numerator, denominator) = parts(decision.limits.failure_rate);
    (of(decision.failures.into(), decision.calls.into()), of(numerator, denominator))
}

/// What the meter says: `1.9 % of 601 calls failed; limit 50 %`.
pub(super) fn meter_text(decision: &Decision) -> String {
    let (numerator, denominator) = parts(decision.limits.failure_rate);
    let limit = percent(
        u64::try_from(numerator).unwrap_or(u64::MAX),
        u64::try_from(denominator).unwrap_or(u64::MAX),
    );
    match decision.calls {
        0 => format!("no calls in the window; limit {limit}"),
        calls => {
            let rate = percent(decision.failures, calls);
            format!("{rate} of {} failed; limit {limit}", counted(calls, "call"))
        }
    }
}
