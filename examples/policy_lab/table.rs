//! The results as Markdown.

use std::fmt::Write;

use crate::policies::Candidate;
use crate::simulation::Run;
use crate::world::{DAY, Millis, Scenario};

/// The runs of all policies in one scenario.
pub(crate) struct Results {
    pub(crate) scenario: Scenario,
    pub(crate) calls: usize,
    pub(crate) runs: Vec<Run>,
}

/// The results of some policies.
pub(crate) struct Played {
    pub(crate) policies: Vec<Candidate>,
    /// All scenarios, for each seed.
    pub(crate) seeds: Vec<Vec<Results>>,
    /// False trips at the usual rate, and at few calls a minute.
    pub(crate) busy: Sweep,
    pub(crate) few: Sweep,
}

impl Played {
    /// All scenarios, of the first seed.
    pub(crate) fn results(&self) -> &[Results] {
        &self.seeds[0]
    }
}

/// False trips on a healthy primary, whose calls fail by chance.
pub(crate) struct Sweep {
    pub(crate) length: Millis,
    /// Per column: the share of calls that fail, in percent, and the trips of each policy.
    pub(crate) columns: Vec<(u32, Vec<u64>)>,
}

/// The costs of all policies in pounds, a column per scenario.
pub(crate) fn costs(policies: &[Candidate], results: &[Results]) -> String {
    let mut text = row("policy", results.iter().map(|result| result.scenario.name.to_owned()));
    text += &rule(results.len());
    for (number, policy) in policies.iter().enumerate() {
        let cells = results.iter().map(|result| {
            let cost = result.runs[number].cost();
            let best = result.runs.iter().all(|run| run.cost() >= cost);
            if best { format!("**{}**", pounds(cost)) } else { pounds(cost) }
        });
        text += &row(policy.name, cells);
    }
    text
}

/// What each policy costs more than the first one, a column a scenario: the mean over all seeds, and in
/// how many of them it is cheaper and more expensive.
pub(crate) fn against_the_first(policies: &[Candidate], seeds: &[Vec<Results>]) -> String {
    let scenarios = 0..seeds[0].len();
    let name = |scenario: usize| seeds[0][scenario].scenario.name.to_owned();
    let mut text = row("policy", scenarios.clone().map(name));
    text += &rule(scenarios.len());
    for (number, policy) in policies.iter().enumerate().skip(1) {
        let cells = scenarios.clone().map(|scenario| {
            let costs = || {
                let runs = seeds.iter().map(|results| &results[scenario].runs);
                runs.map(|runs| (runs[number].cost(), runs[0].cost()))
            };
            let (sum, first) = costs().fold((0, 0), |(a, b), (cost, first)| (a + cost, b + first));
            let mean = pounds(sum.abs_diff(first) / seeds.len() as u64);
            let sign = if sum < first && mean != "0" { "−" } else { "" };
            let cheaper = costs().filter(|(cost, first)| cost < first).count();
            let more_expensive = costs().filter(|(cost, first)| cost > first).count();
            format!("{sign}{mean} ({cheaper} : {more_expensive})")
        });
        text += &row(policy.name, cells);
    }
    text
}

/// All results of one scenario.
pub(crate) fn scenario(policies: &[Candidate], result: &Results) -> String {
    let titles = [
        "failover after",
        "errors",
        "on the fallback",
        "price, £",
        "false trips a day",
        "flaps",
        "back after",
    ];
    let mut text = row("policy", titles.map(str::to_owned).into_iter());
    text += &rule(titles.len());
    for (policy, run) in policies.iter().zip(&result.runs) {
        let outages = !result.scenario.outages.is_empty();
        let time = |time: Option<Millis>| time.map_or("never".to_owned(), duration);
        let cells = [
            if outages { time(run.failover) } else { "-".to_owned() },
            run.errors.to_string(),
            run.fallback.to_string(),
            pounds(run.price()),
            a_day(run.false_trips, result.scenario.length),
            run.flaps.to_string(),
            if !outages || run.failover.is_none() { "-".to_owned() } else { time(run.full_return) },
        ];
        text += &row(policy.name, cells.into_iter());
    }
    text
}

pub(crate) fn false_trips(policies: &[Candidate], sweep: &Sweep) -> String {
    let columns = &sweep.columns;
    let mut text = row("policy", columns.iter().map(|(percent, _)| format!("{percent} %")));
    text += &rule(columns.len());
    for (number, policy) in policies.iter().enumerate() {
        let cells = columns.iter().map(|(_, trips)| a_day(trips[number], sweep.length));
        text += &row(policy.name, cells);
    }
    text
}

fn row(first: &str, cells: impl Iterator<Item = String>) -> String {
    let mut text = format!("| {first} |");
    for cell in cells {
        // Writing to a String can't fail.
        let _ = write!(text, " {cell} |");
    }
    text + "\n"
}

fn rule(columns: usize) -> String {
    format!("|---|{}\n", "---:|".repeat(columns))
}

/// Whole pounds.
pub(crate) fn pounds(pence: u64) -> String {
    ((pence + 50) / 100).to_string()
}

pub(crate) fn a_day(trips: u64, length: Millis) -> String {
    let tenths = (trips * DAY * 10 + length / 2) / length;
    if tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// Two units at most: `0.8 s`, `1 min 5 s`, `2 h 3 min`.
pub(crate) fn duration(time: Millis) -> String {
    let (seconds, minutes, hours) = (time / 1_000, time / 60_000, time / 3_600_000);
    match (hours, minutes) {
        (0, 0) if time < 10_000 => format!("{}.{} s", seconds, time % 1_000 / 100),
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{hours} h {} min", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let shown = [50, 9_999, 10_000, 65_000, 7_380_000].map(duration);
        assert_eq!(shown, ["0.0 s", "9.9 s", "10 s", "1 min 5 s", "2 h 3 min"]);
    }

    #[test]
    fn trips_are_counted_for_a_day_to_the_tenth() {
        assert_eq!(a_day(24, DAY), "24");
        assert_eq!(a_day(1, 8 * DAY / 24), "3");
        assert_eq!(a_day(1, 2 * DAY), "0.5");
    }
}
