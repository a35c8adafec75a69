//! The figures of the manual on how likely a trip by chance is.

use std::fmt::Write as _;

use failover::Ratio;

/// The probability that more than half of `calls` independent calls fail, each with probability `p`.
fn by_chance(calls: u64, p: f64) -> f64 {
    let mut all = 0.0;
    let mut ways = 1.0;
    for failures in 0..=calls {
        if Ratio::HALF.is_exceeded_by(failures, calls) {
            let [failed, succeeded] =
                [failures, calls - failures].map(|n| i32::try_from(n).unwrap());
            all += ways * p.powi(failed) * (1.0 - p).powi(succeeded);
        }
        ways = ways * (calls - failures) as f64 / (failures + 1) as f64;
    }
    all
}

/// The number with two significant digits and commas.
fn rounded(number: f64) -> String {
    let unit = 10_f64.powf(number.log10().floor() - 1.0).max(1.0);
    let digits = format!("{:.0}", (number / unit).round() * unit);
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_page_says_how_often_a_window_exceeds_one_half_by_chance() {
    let page = include_str!("../../src/manual/choosing.md");
    for calls in [5, 10, 20, 50] {
        let mut row = format!("| {calls} |");
        for percent in [1.0, 5.0, 10.0, 20.0, 30.0] {
            let once_in = 1.0 / by_chance(calls, percent / 100.0);
            if once_in < 1e10 {
                write!(row, " 1 in {} |", rounded(once_in)).unwrap();
            } else {
                row.push_str(" hardly ever |");
            }
        }
        assert!(page.lines().any(|line| line == row), "{row}");
    }
}
