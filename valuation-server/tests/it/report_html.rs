//! `report --format html`: one file, whatever is in the log.

use tokio::task::spawn_blocking;

use crate::report_command::{october, printed, row};
use crate::report_support::{LogRow, insert};

const TERMS: [&str; 8] =
    ["--from", "2026-10", "--to", "2026-12", "--time-zone", "Europe/London", "--format", "html"];

/// The text of a page without its elements, with single spaces.
fn text(html: &str) -> String {
    let parts = html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn it_says_by_how_much_a_target_was_missed_and_how_it_counts() {
    let place = spawn_blocking(october).await.unwrap();
    let more = ["--target", "99.9%", "--slow", "2s", "--fallback-price", "0.20"];
    let html = printed(&place, &[&TERMS[..], &more].concat()).await;
    let text = text(&html);
    for part in [
        "Service level report: Premium Car Valuations, SuperCar Valuations",
        "From 2026-10-01 00:00+01:00 to before 2026-12-01 00:00+00:00",
        "Europe/London, by month; 2026-10-25 has 25 hours",
        "Missed. SuperCar Valuations missed the target of 99.9% by calls, with 99.16%: 12 of 1,441 calls \
         failed, 11 more than the 1 allowed. It missed it by minutes, with 99.16%: 12 of 1,441 minutes \
         with calls were unavailable, 11 more than the 1 allowed.",
        "Met. Premium Car Valuations met the target of 99.9% by calls, with 100.00%: 0 of 12 calls failed, \
         exactly as many as are allowed.",
        "Of calls, the lowest is 99.16% in 2026-10; the target was missed by calls in 1 of 2.",
        "12 of its calls were made because another provider had just failed; 12 of them succeeded.",
        "Price: £2.40 for 12 calls.",
        "TIMEOUT 12 100.00%",
        "Outages 1 from to length 2026-10-01 10:00+01:00 2026-10-01 10:12+01:00 12 min",
        // November of Premium.
        "2026-11 0 no data",
        "ids 1 to 1453 of ProviderLogs",
        "not counted 1 rows of the log",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Premium has no calls in the second of two months.
    assert!(
        html.contains(
            "<rect x=\"50.00%\" width=\"50.00%\" height=\"100%\" fill=\"url(#p0c0-hatch)\""
        )
    );
}

#[tokio::test]
async fn it_loads_nothing_and_names_and_codes_are_text_in_it() {
    const HOSTILE: &str =
        "</style><script>alert('x')</script><img src=http://a onerror=\"b\">&{{ 7 }}";
    let place = spawn_blocking(october).await.unwrap();
    let outcome = Some("failure");
    let hostile =
        LogRow { provider: HOSTILE, error_code: Some(HOSTILE), outcome, ..row(5, HOSTILE, None) };
    insert(&place.neighbour(), &[hostile]);
    let window = format!("2026-10-03/2026-10-04={HOSTILE}");
    let html = printed(&place, &[&TERMS[..], &["--exclude", &window]].concat()).await;
    assert!(html.matches("&#60;script&#62;alert(&#39;x&#39;)").count() >= 4, "{html}");
    for forbidden in
        ["<script", "<img", "onerror=\"", "<link rel=\"stylesheet", "url(http", "@import"]
    {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(html.matches("<style").count(), 1);
    // Only this file's own elements are referred to.
    assert_eq!(html.matches("url(").count(), html.matches("url(#p").count());
    assert!(html.contains("default-src &#39;none&#39;") || html.contains("default-src 'none'"));
}

#[tokio::test]
async fn a_report_of_nothing_says_no_data() {
    let place = spawn_blocking(october).await.unwrap();
    let html = printed(&place, &["--from", "2027-01", "--to", "2027-02", "--format", "html"]).await;
    assert!(text(&html).contains("no data : there is no call in this time"), "{html}");
    assert!(!html.contains("100.00%"), "{html}");
}
