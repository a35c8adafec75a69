//! All rows, in the order of the table.

mod failover;
mod http;
mod options;

use std::fmt;
use std::marker::PhantomData;

use tower_resilience_circuitbreaker::SlidingWindowType::{CountBased, TimeBased};

use crate::peers::{self, Trips};
use crate::services::{self, Answer, Tested};
use crate::subject::{Called, Mix, Subject};

/// Makes a subject.
pub type Make = Box<dyn Fn() -> Box<dyn Subject>>;

/// A row of the table.
pub struct Row {
    /// Its name in the table.
    pub name: &'static str,
    /// Its role in its group.
    pub kind: Kind,
    /// The maximum of calls per slice, for subjects whose calls get more expensive with their number.
    pub most: Option<u64>,
    /// Makes a new subject.
    pub make: Make,
}

/// The role of a row in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The call that the others are compared with.
    Bare,
    /// The unit.
    Floor,
    /// A subject of this crate or of a neighbour.
    Guarded,
}

/// Rows that are compared with the same bare call.
#[derive(Debug)]
pub struct Group {
    /// Their common situation.
    pub name: &'static str,
    /// The first is the bare call.
    pub rows: Vec<Row>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).finish_non_exhaustive()
    }
}

const PRIMARY: &[Option<Answer>] = &[Some(Answer::Primary)];
const FALLBACK: &[Option<Answer>] = &[Some(Answer::Fallback)];
const ERROR: &[Option<Answer>] = &[None];
const ANY: &[Option<Answer>] = &[None, Some(Answer::Primary), Some(Answer::Fallback)];

/// The calls of a row.
#[derive(Clone, Copy)]
struct Way {
    mix: Mix,
    /// The expected results of a call; `None` is an error.
    ends: &'static [Option<Answer>],
    /// The calls before the measurement, and their mix.
    before: (u64, Mix),
}

impl Way {
    const SUCCESSES: Self =
        Self { mix: Mix::SUCCESSES, ends: PRIMARY, before: (0, Mix::SUCCESSES) };
    const SOME_FAIL: Self = Self { mix: Mix::one_in(100), ..Self::SUCCESSES };
    const HALF_FAILS: Self = Self { mix: Mix::one_in(2), ..Self::SUCCESSES };
    const ALL_FAIL: Self = Self { mix: Mix::FAILURES, ends: ERROR, ..Self::SUCCESSES };
    /// The failures before it trip every subject.
    const TRIPPED: Self = Self { mix: Mix::FAILURES, ends: FALLBACK, before: (200, Mix::FAILURES) };

    const fn after(self, calls: u64) -> Self {
        Self { before: (calls, self.mix), ..self }
    }
}

fn subject<S: Tested>(service: &S, way: Way) -> Box<dyn Subject> {
    let called =
        |mix| Called { service: service.clone(), mix, ends: way.ends, request: PhantomData };
    let (calls, mix) = way.before;
    called(mix).caller()(calls);
    Box::new(called(way.mix))
}

fn row<S: Tested>(name: &'static str, way: Way, service: impl Fn() -> S + 'static) -> Row {
    let make = Box::new(move || subject(&service(), way));
    Row { name, kind: Kind::Guarded, most: None, make }
}

impl Row {
    fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    fn at_most(self, calls: u64) -> Self {
        Self { most: Some(calls), ..self }
    }
}

/// A neighbour that records each call is measured after this many calls, with few per slice.
const HELD: u64 = 10_000;

fn neighbours(way: Way, trips: Trips) -> Vec<Row> {
    let tripped = way.before.0 > 0;
    let failsafe = if tripped {
        row("failsafe", way, peers::hasty_failsafe)
    } else {
        row("failsafe", way, move || peers::failsafe(trips))
    };
    let time = if tripped { way } else { way.after(HELD) };
    vec![
        row("recloser, last 100 calls", way, move || peers::recloser(trips)),
        failsafe,
        row("tower-resilience, last 100 calls", way, move || {
            peers::tower_resilience(CountBased, trips, false)
        })
        .at_most(2_000),
        row("tower-resilience, time window that holds 10,000 calls", time, move || {
            peers::tower_resilience(TimeBased, trips, false)
        })
        .at_most(100),
    ]
}

fn bare(way: Way) -> Row {
    let ends = if way.mix.is_all() { ERROR } else { PRIMARY };
    row("bare `service_fn`", Way { ends, before: (0, way.mix), ..way }, services::primary)
        .of_kind(Kind::Bare)
}

/// All rows, by groups. `only`: rows whose name contains this, besides the bare calls and the floor.
pub fn groups(only: Option<&str>) -> Vec<Group> {
    let Some(only) = only else { return all() };
    let mut groups = all();
    for Group { rows, .. } in &mut groups {
        rows.retain(|row| row.kind != Kind::Guarded || row.name.contains(only));
    }
    groups.retain(|group| group.rows.iter().any(|row| row.kind != Kind::Bare));
    groups
}

fn all() -> Vec<Group> {
    let floor = row(
        "the floor: a relaxed `fetch_add` of the thread's own",
        Way::SUCCESSES,
        services::floor,
    );
    let mut success = vec![bare(Way::SUCCESSES), floor.of_kind(Kind::Floor)];
    success.push(row("**`Failover`**, default policy", Way::SUCCESSES, failover::default));
    success.extend(neighbours(Way::SUCCESSES, Trips::AtHalf));
    let mut some = vec![bare(Way::SOME_FAIL)];
    some.push(row("**`Failover`**, default policy", Way::SOME_FAIL, failover::default));
    some.extend(neighbours(Way::SOME_FAIL, Trips::AtHalf));
    let mut half = vec![bare(Way::HALF_FAILS)];
    half.push(row("**`Failover`**, below its threshold", Way::HALF_FAILS, failover::patient));
    half.push(row("the same with `last_calls(100)`", Way::HALF_FAILS, failover::patient_by_calls));
    half.extend(neighbours(Way::HALF_FAILS, Trips::AtHalf));
    let mut all = vec![bare(Way::ALL_FAIL)];
    all.push(row("**`Failover`**, below its minimum of calls", Way::ALL_FAIL, failover::waiting));
    let back_and_forth = Way { ends: ANY, ..Way::ALL_FAIL };
    all.push(row(
        "**`Failover`**, a trip and a revert every 11 calls",
        back_and_forth,
        failover::tripping,
    ));
    all.extend(neighbours(Way::ALL_FAIL, Trips::Never));
    let mut tripped = vec![bare(Way::TRIPPED)];
    tripped.push(row("**`Failover`**, default policy", Way::TRIPPED, failover::default));
    tripped.extend(neighbours(Way::TRIPPED, Trips::AtHalf));
    let group = |name, rows| Group { name, rows };
    vec![
        group("every call succeeds", success),
        group("1 % of the calls fail", some),
        group("half of the calls fail, and nothing trips", half),
        group("every call fails, and nothing trips", all),
        group("on the fallback", tripped),
        group("options, where every call succeeds", options::on_the_primary()),
        group("options, where every call fails", options::where_calls_fail()),
        group("options, away from the primary", options::on_the_fallback()),
        group("feature `http`: an answer of one frame, read to its end", http::rows()),
    ]
}

/// The subjects whose memory is measured.
pub fn holders() -> Vec<(&'static str, Make)> {
    let way = Way::SUCCESSES;
    let of = |row: Row| (row.name, row.make);
    vec![
        of(row("**`Failover`**, default policy", way, failover::default)),
        of(row("`last_calls(100)` instead of the time window", way, options::last_calls)),
        of(row("recloser, last 100 calls", way, || peers::recloser(Trips::AtHalf))),
        of(row("failsafe", way, || peers::failsafe(Trips::AtHalf))),
        of(row("tower-resilience, last 100 calls", way, || {
            peers::tower_resilience(CountBased, Trips::AtHalf, false)
        })),
        // If it evaluates, a million calls take minutes. The memory is the same.
        of(row("tower-resilience, time window that holds 10,000 calls", way, || {
            peers::tower_resilience(TimeBased, Trips::AtHalf, true)
        })),
    ]
}
