//! Tests the page in a real browser, narrow and wide. Chromium reads it from a file and resolves no
//! name.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use super::{escape, page};
use crate::policies::Candidate;
use crate::simulation::{COLUMNS, Column, Run};
use crate::table::{Played, Results, Sweep};
use crate::world::DAY;
use crate::{HEALTHY, policies, scenarios};

/// Runs in an outer page. The tested pages are frames of it, so each gets its width.
const MEASURE: &str = r#"
const faults = [], seen = [];
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument, root = page.documentElement, at = frame.width;
  const fault = what => faults.push(at + ": " + what);
  if (root.scrollWidth > root.clientWidth)
    fault("the page is " + root.scrollWidth + " wide in " + root.clientWidth);
  let texts = 0, bars = 0;
  for (const svg of page.querySelectorAll("svg")) {
    const name = svg.getAttribute("aria-label"), around = svg.getBoundingClientRect();
    const inside = box => box.left >= around.left - 1 && box.right <= around.right + 1 &&
      box.top >= around.top - 2 && box.bottom <= around.bottom + 2;
    const boxes = [];
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect(), says = name + ", " + text.textContent;
      if (box.width < 1 || box.height < 9) fault(says + ": too small to read");
      if (!inside(box)) fault(says + ": outside of its picture");
      if (boxes.some(other => box.left < other.right && other.left < box.right &&
        box.top + 4 < other.bottom && other.top + 4 < box.bottom))
        fault(says + ": on top of another");
      boxes.push(box);
      texts += 1;
    }
    for (const bar of svg.querySelectorAll("rect")) {
      if (!inside(bar.getBoundingClientRect())) fault(name + ": a bar outside of its picture");
      if (page.defaultView.getComputedStyle(bar).fill === "rgb(0, 0, 0)")
        fault(name + ": a bar without a colour");
      bars += 1;
    }
  }
  seen.push([at, page.querySelectorAll("svg").length, texts > 300, bars > 300,
    page.querySelectorAll("td").length].join(" "));
}
document.getElementById("seen").textContent = seen.join("\n");
document.getElementById("faults").textContent = faults.join("\n");
"#;

const WIDTHS: [u32; 2] = [360, 1100];

/// A Chromium that can read the temporary folder, which a snap can't.
fn chromium() -> Option<PathBuf> {
    let folders: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    ["chromium", "google-chrome"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| {
            fs::canonicalize(program).is_ok_and(|program| program != Path::new("/usr/bin/snap"))
        })
}

/// The document after the page has loaded and its scripts have run. The browser keeps its files in
/// `home`.
fn document(chromium: &Path, page: &Path, home: &Path) -> String {
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args([
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--dump-dom",
            "--timeout=60000",
        ])
        .arg(format!("--user-data-dir={}", home.join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .env("HOME", home)
        .env("TMPDIR", home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} ended with {}: {errors}",
        chromium.display(),
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The text of the element with this id.
fn text<'a>(document: &'a str, id: &str) -> &'a str {
    let opened = format!("<pre id=\"{id}\">");
    let from = document.find(&opened).map(|at| at + opened.len());
    let from = from.unwrap_or_else(|| panic!("no {id} in {document}"));
    document[from..].split("</pre>").next().unwrap()
}

/// The most crowded charts: each column differs from its neighbours, and numbers are long.
fn crowded(policies: Vec<Candidate>) -> Played {
    let column = |at: usize| {
        let at = u32::try_from(at).unwrap();
        Column { calls: 100, fallback: at * 37 % 100, errors: at * 61 % 100 }
    };
    let run = Run {
        failover: None,
        errors: 987_654,
        fallback: 987_654,
        false_trips: 9_999,
        flaps: 9_999,
        full_return: None,
        columns: (0..COLUMNS).map(column).collect(),
    };
    let runs = vec![run; policies.len()];
    let scenarios = scenarios::standard().into_iter();
    let results =
        scenarios.map(|scenario| Results { scenario, calls: 0, runs: runs.clone() }).collect();
    let sweep = |length| Sweep {
        length,
        columns: HEALTHY.map(|percent| (percent, vec![9_999; policies.len()])).into(),
    };
    let (busy, few) = (sweep(DAY), sweep(10 * DAY));
    Played { policies, seeds: vec![results], busy, few }
}

#[test]
fn every_picture_can_be_read_on_a_telephone_and_on_a_desk() {
    let Some(chromium) = chromium() else {
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "no Chromium is on the PATH");
        // Bypasses the test harness, which hides the output of passing tests.
        let _ = writeln!(io::stderr(), "skipped: no Chromium on the PATH to look at the page with");
        return;
    };
    let (all, around) = (crowded(policies::all()), crowded(policies::neighbours()));
    let html = escape(&page(&all, &around)).replace('"', "&quot;");
    let frames = WIDTHS.map(|width| {
        format!("<iframe width=\"{width}\" height=\"2000\" srcdoc=\"{html}\"></iframe>")
    });
    let folder = tempfile::tempdir().unwrap();
    let outer = folder.path().join("outer.html");
    let frames = frames.concat();
    fs::write(
        &outer,
        format!(
            "<!doctype html><meta charset=\"utf-8\">{frames}<pre id=\"seen\"></pre>\
             <pre id=\"faults\"></pre><script>onload = () => {{ {MEASURE} }}</script>"
        ),
    )
    .unwrap();
    let document = document(&chromium, &outer, folder.path());
    let pictures = all.results().len() + 4;
    let cells = scenarios::standard().len() * (all.policies.len() + around.policies.len());
    let seen = WIDTHS.map(|width| format!("{width} {pictures} true true {cells}"));
    assert_eq!(text(&document, "seen"), seen.join("\n"));
    assert_eq!(text(&document, "faults"), "");
}
