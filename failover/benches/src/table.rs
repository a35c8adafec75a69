//! One Markdown table of all figures.

use std::fmt::Write as _;

use crate::measure::{Figures, Spread};
use crate::rows::{Group, Kind};

/// The figures, by rows in the order of the groups.
#[derive(Debug)]
pub struct Measured {
    /// Nanoseconds per call on one thread.
    pub one: Vec<Figures>,
    /// Nanoseconds per call and thread, with two threads.
    pub two: Vec<Figures>,
    /// Calls per second by eight tasks on two workers.
    pub tasks: Vec<Figures>,
    /// Allocations per call.
    pub allocations: Vec<f64>,
    /// Instructions per call; `None` without valgrind.
    pub instructions: Option<Vec<f64>>,
}

/// The differences between two rows, round by round.
fn above(row: &Figures, bare: &Figures) -> Spread {
    Spread::of(row.iter().zip(bare).map(|(row, bare)| row - bare))
}

fn nanos(spread: Spread) -> String {
    let Spread { lower, middle, upper } = spread;
    if middle.is_nan() {
        // No slice was undisturbed.
        return "–".to_owned();
    }
    let places = usize::from(middle.abs() < 100.0);
    format!("{middle:.places$} ({lower:.places$}–{upper:.places$})")
}

fn floors(spread: Spread, floor: Spread) -> String {
    let floors = spread.middle / floor.middle;
    if floors.is_nan() { "–".to_owned() } else { format!("{floors:.1}") }
}

/// The table. Nanoseconds and instructions are differences from the group's bare call.
pub fn render(groups: &[Group], measured: &Measured) -> String {
    let Measured { one, two, tasks, allocations, instructions } = measured;
    let mut table = String::from(
        "| | 1 thread, ns above bare | floors | 2 threads, ns a thread above bare | floors \
         | 8 tasks, million calls/s | instructions above bare | allocations |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let kinds: Vec<_> = groups.iter().flat_map(|group| &group.rows).map(|row| row.kind).collect();
    let floor = kinds.iter().position(|kind| *kind == Kind::Floor).unwrap_or(1);
    let (floor_of_one, floor_of_two) = (above(&one[floor], &one[0]), above(&two[floor], &two[0]));
    let mut next = 0;
    for group in groups {
        let bare = next;
        let _ = writeln!(table, "| **{}** | | | | | | | |", group.name);
        for row in &group.rows {
            let calls = Spread::of(tasks[next].iter().map(|calls| calls / 1e6)).middle;
            let places = usize::from(calls < 10.0);
            let allocated = allocations[next];
            let counted = |counts: &Vec<f64>| {
                let under = if row.kind == Kind::Bare { 0.0 } else { counts[bare] };
                format!("{:.0}", counts[next] - under)
            };
            let counted = instructions.as_ref().map_or_else(|| "–".to_owned(), counted);
            let [a, b, c, d] = if row.kind == Kind::Bare {
                let itself = |figures: &Figures| {
                    format!("itself {}", nanos(Spread::of(figures.iter().copied())))
                };
                [itself(&one[next]), "–".to_owned(), itself(&two[next]), "–".to_owned()]
            } else {
                let (one, two) = (above(&one[next], &one[bare]), above(&two[next], &two[bare]));
                [nanos(one), floors(one, floor_of_one), nanos(two), floors(two, floor_of_two)]
            };
            let _ = writeln!(
                table,
                "| {} | {a} | {b} | {c} | {d} | {calls:.places$} | {counted} | {allocated} |",
                row.name,
            );
            next += 1;
        }
    }
    table
}

/// The memory held after many calls.
pub fn render_held(names: &[&str], held: &[String]) -> String {
    let mut rows = String::from(
        "| **bytes held after** | **10³ calls** | **10⁵ calls** | **10⁶ calls** | | | | |\n",
    );
    for (name, bytes) in names.iter().zip(held) {
        let _ = writeln!(rows, "| {name} | {} | | | | |", bytes.replace(' ', " | "));
    }
    rows
}
