//! `logs`, as an operator runs it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use valuation_server::demo::simulator::Fault;
use valuation_server::domain::Entry;
use valuation_server::store::{Store, StoreConfig, Trail};

use crate::http_harness::{Client, put};
use crate::log_support::{
    command, database_and_log, ids, keeping_its_log, killed, log_of, of_the_first_version, printed,
    row, run,
};
use crate::process_harness::{Process, Rig, binary};
use crate::report_support::insert;
use crate::store_support::{call, in_time};

const JSONL: [&str; 2] = ["--format", "jsonl"];

#[tokio::test]
async fn the_last_fifty_calls_come_newest_last_unless_more_or_a_time_is_asked_for() {
    let place = log_of(5_000).await;
    let of = |arguments: &[&'static str]| [&JSONL[..], arguments].concat();
    let place = &place;
    let shown = |arguments: Vec<&'static str>| async move {
        ids(&printed("logs", place, &arguments).await)
    };
    assert_eq!(shown(of(&[])).await, (4_951..=5_000).collect::<Vec<_>>());
    assert_eq!(shown(of(&["--last", "3"])).await, [4_998, 4_999, 5_000]);
    assert_eq!(shown(of(&["--last", "0"])).await, [0_i64; 0]);
    assert_eq!(
        shown(of(&["--last", "4000", "--failed"])).await,
        (0..500).map(|n| n * 10 + 9).collect::<Vec<_>>()
    );
    assert_eq!(shown(of(&["--last", "2", "--provider", "premium"])).await, [4_990, 5_000]);
    // Minutes 10 to 109.
    let hour = ["--from", "2026-10-01T00:10", "--to", "2026-10-01T01:50"];
    assert_eq!(shown(of(&hour)).await, (11..=110).collect::<Vec<_>>());
    assert_eq!(shown(of(&[&hour[..], &["--failed"]].concat())).await.len(), 10);
    assert_eq!(shown(of(&[&hour[..], &["--last", "1"]].concat())).await, [110]);
    let offset = ["--from", "2026-10-01T01:10+01:00", "--to", "2026-10-01T00:12:00.000Z"];
    assert_eq!(shown(of(&offset)).await, [11, 12]);
}

#[tokio::test]
async fn a_duration_is_back_from_now() {
    let place = log_of(3).await;
    let now = jiff::Timestamp::now().as_millisecond();
    let recent = crate::report_support::LogRow { at: Ok(now - 60_000), ..row(0) };
    insert(&place.neighbour(), &[recent]);
    let out = printed("logs", &place, &[&JSONL[..], &["--since", "1h"]].concat()).await;
    assert_eq!(ids(&out), [4]);
}

#[tokio::test]
async fn a_vehicle_s_calls_are_found_by_its_mark() {
    let place = log_of(5).await;
    place.neighbour().execute_batch("UPDATE ProviderLogs SET vrm = 'a b' WHERE id = 2").unwrap();
    let of = |vrm: &'static str| [&JSONL[..], &["--vrm", vrm]].concat();
    assert_eq!(ids(&printed("logs", &place, &of("a b")).await), [2]);
    assert_eq!(printed("logs", &place, &of("A B")).await, "");
    let (code, _, error) = run(command("logs", &place.path(), &["--vrm", "TOO LONG A MARK"])).await;
    assert_eq!(code, 2, "{error}");
}

#[tokio::test]
async fn json_lines_have_the_columns_of_the_table_with_their_types() {
    let place = log_of(1).await;
    let line: Value = serde_json::from_str(&printed("logs", &place, &JSONL).await).unwrap();
    assert_eq!(
        line,
        json!({
            "id": 1, "vrm": "V", "providerName": "SuperCar Valuations",
            "requestedAt": "2026-10-01T00:00:00.000Z", "requestDurationMs": 0, "requestUrl": "u",
            "responseCode": 200, "errorCode": null, "errorMessage": null, "outcome": "success",
            "rescue": false
        })
    );
}

#[tokio::test]
async fn a_table_has_a_header_and_no_colour_where_there_is_no_terminal() {
    let place = log_of(10).await;
    let out = printed("logs", &place, &[]).await;
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 11);
    assert_eq!(lines[0], ["time", "provider", "VRM", "code", "ms", "outcome", "rescue", "error"]);
    assert_eq!(
        lines[9],
        ["2026-10-01T00:08:00.000Z", "SuperCar", "Valuations", "V", "-", "8", "failure", "TIMEOUT"]
    );
    assert!(lines[10].ends_with(&["success", "rescue"]), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
}

#[tokio::test]
async fn an_empty_log_an_older_schema_and_odd_values_are_shown_as_they_are() {
    let place = log_of(0).await;
    assert_eq!(printed("logs", &place, &JSONL).await, "");
    assert_eq!(printed("logs", &place, &[]).await.lines().count(), 1);

    let older = of_the_first_version();
    let out = printed("logs", &older, &JSONL).await;
    assert_eq!(ids(&out), [1, 2]);
    assert!(out.contains("\"outcome\":null,\"rescue\":null"), "{out}");
    // By its codes: a 404 is no failure.
    assert_eq!(ids(&printed("logs", &older, &[&JSONL[..], &["--failed"]].concat()).await), [2]);

    let place = log_of(1).await;
    place
        .neighbour()
        .execute_batch(
            "UPDATE ProviderLogs SET vrm = x'ff', requestDurationMs = 'slow', responseCode = 99999,
                errorMessage = 12, requestedAt = 'yesterday'",
        )
        .unwrap();
    let line: Value = serde_json::from_str(&printed("logs", &place, &JSONL).await).unwrap();
    assert_eq!((&line["vrm"], &line["requestDurationMs"]), (&json!("\u{fffd}"), &json!(0)));
    assert_eq!((&line["responseCode"], &line["errorMessage"]), (&Value::Null, &json!("12")));
}

#[tokio::test]
async fn the_log_of_a_killed_server_is_read_and_nothing_is_changed() {
    let place = log_of(3).await;
    let conn = keeping_its_log(&place);
    insert(&conn, &[row(3)]);
    let left = killed(&place);
    let before = database_and_log(&left);
    assert_eq!(ids(&printed("logs", &left, &JSONL).await), [1, 2, 3, 4]);
    assert!(database_and_log(&left) == before);
    // A long read keeps no server from starting.
    let left = killed(&place);
    let trail = Trail::open(&[left.path()]).unwrap();
    assert_eq!(trail.newest_id().unwrap(), Some(4));
    Store::open(&StoreConfig::new(left.path())).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_gap_in_the_ids_takes_no_time() {
    let place = log_of(1).await;
    let far = i64::MAX - 1;
    let conn = place.neighbour();
    conn.execute_batch(&format!(
        "INSERT INTO ProviderLogs SELECT {far}, vrm, providerName, requestedAt, requestDurationMs,
            requestUrl, responseCode, errorCode, errorMessage, outcome, rescue FROM ProviderLogs"
    ))
    .unwrap();
    let shown = in_time("two rows", async { printed("logs", &place, &JSONL).await }).await;
    assert_eq!(ids(&shown), [1, far]);
    let all = in_time("both", async { printed("export", &place, &JSONL).await }).await;
    assert_eq!(ids(&all), [1, far]);
}

#[tokio::test]
async fn wrong_flags_and_files_are_refused_with_what_would_be_right() {
    let place = log_of(1).await;
    for (arguments, part) in [
        (&["--from", "soon"][..], "soon is no time; write a month 2026-10"),
        (&["--since", "1x"], "--since"),
        (&["--since", "1h", "--from", "2026-10"], "cannot be used with"),
        (&["--follow", "--to", "2026-10"], "cannot be used with"),
        (&["--last=-1"], "--last"),
    ] {
        let (code, out, error) = run(command("logs", &place.path(), arguments)).await;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.contains(part), "{part} in {error}");
    }
    let nothing = place.folder.path().join("nothing.sqlite");
    let (code, _, error) = run(command("logs", &nothing, &[])).await;
    assert_eq!(code, 1);
    assert!(error.contains("nothing.sqlite"), "{error}");
    assert!(!nothing.exists());
}

#[tokio::test]
async fn the_database_is_that_of_the_flag_the_environment_the_file_or_the_default() {
    let [flag, variable, file, default] =
        [log_of(1).await, log_of(2).await, log_of(3).await, log_of(4).await];
    let config = file.folder.path().join("server.toml");
    // Without the URLs that `serve` needs.
    std::fs::write(&config, format!("database = {:?}\nrescue = false\n", file.path())).unwrap();
    let rows = |command| async {
        let (code, out, error) = run(command).await;
        assert_eq!(code, 0, "{error}");
        ids(&out).len()
    };
    let logs = || {
        let mut command = binary();
        command.current_dir(default.folder.path()).stdout(Stdio::piped()).arg("logs").args(JSONL);
        command
    };
    let mut command = logs();
    assert_eq!(rows(command).await, 4);
    command = logs();
    command.arg("--config").arg(&config);
    assert_eq!(rows(command).await, 3);
    command = logs();
    command.env("VALUATION_CONFIG", &config);
    assert_eq!(rows(command).await, 3);
    command = logs();
    command.env("VALUATION_DATABASE", variable.path()).arg("--config").arg(&config);
    assert_eq!(rows(command).await, 2);
    command = logs();
    command.env("VALUATION_DATABASE", variable.path()).arg("--database").arg(flag.path());
    assert_eq!(rows(command).await, 1);

    std::fs::write(&config, "datbase = 'v.sqlite'\n").unwrap();
    for name in ["logs", "report"] {
        let mut command = binary();
        command.arg(name).arg("--config").arg(&config).stdout(Stdio::piped());
        let (code, _, error) = run(command).await;
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("unknown key \"datbase\" in line 1"), "{error}");
    }
}

/// `logs --follow` and its lines.
struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(place: &std::path::Path, arguments: &[&str]) -> Self {
        let arguments = [&JSONL[..], &["--follow"], arguments].concat();
        let mut child = command("logs", place, &arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn next(&mut self) -> Value {
        let line = in_time("a line", self.lines.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn interrupt(&self) {
        let id = self.child.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success()
        );
    }
}

#[tokio::test]
async fn following_shows_each_call_once_as_it_is_committed_until_it_is_interrupted() {
    let place = log_of(60).await;
    let store = place.open();
    let mut follower = Follower::start(&place.path(), &["--last", "2"]);
    assert_eq!(follower.next().await["id"], 59);
    assert_eq!(follower.next().await["id"], 60);
    for id in 61..70 {
        store.commit(Entry { valuation: None, calls: vec![call("V")] }).await.unwrap();
        assert_eq!(follower.next().await["id"], id);
    }
    follower.interrupt();
    let status = in_time("the end", follower.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(follower.lines.next_line().await.unwrap(), None);
    store.shutdown().await;
}

#[tokio::test]
async fn following_goes_on_after_the_server_was_killed_or_stopped_and_started_again() {
    let mut rig = Rig::start(Fault::NONE, &[]).await;
    let mut follower = Follower::start(&rig.database, &[]);
    let mut asked = 0;
    for end in ["kill", "stop", "none"] {
        for _ in 0..2 {
            asked += 1;
            let mut client = Client::connect(rig.process.address).await;
            client.send(put(&format!("/valuations/V{asked}"), "{\"mileage\": 1}")).await;
            assert_eq!(follower.next().await["vrm"], format!("V{asked}"));
        }
        match end {
            "kill" => rig.process.kill().await,
            "stop" => rig.stop().await,
            _ => break,
        }
        rig.process = Process::start(&rig.database, &rig.supercar, &rig.premium).await;
    }
    assert_eq!(asked, 6);
    rig.stop().await;
}

#[tokio::test]
async fn following_ends_by_itself_when_nobody_reads_any_more() {
    let place = log_of(1).await;
    let mut follower = Follower::start(&place.path(), &[]);
    follower.next().await;
    drop(follower.lines);
    let status = in_time("the end", follower.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let place = log_of(20_000).await;
    let mut child = command("logs", &place.path(), &["--from", "2026-10"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap();
    drop(lines);
    let out = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let out = out.unwrap().unwrap();
    assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(0), &b""[..]));
}

#[tokio::test]
async fn a_database_that_this_user_may_not_write_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = log_of(2).await;
    let folder = place.folder.path();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o444)).unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o555)).unwrap();
    let shown = run(command("logs", &place.path(), &JSONL)).await;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(ids(&shown.1), [1, 2], "{}", shown.2);
}

#[tokio::test]
async fn an_empty_time_and_a_name_of_no_provider_are_refused() {
    let place = log_of(20).await;
    let export = |more: &[&'static str]| {
        command("export", &place.path(), &[&["--format", "csv"][..], more].concat())
    };
    let (code, out, _) = run(export(&["-o", "-"])).await;
    assert_eq!((code, out.lines().count()), (0, 21), "- is the standard output");
    let formats = [("logs", &["--last", "5"][..]), ("export", &["--format", "csv"])];
    for (name, format) in formats {
        for (flags, code, part) in [
            (
                ["--from", "2026-11", "--to", "2026-10"].as_slice(),
                2,
                "at 2026-10, which is not after",
            ),
            (&["--provider", "Supercat"], 1, "but Premium Car Valuations, SuperCar Valuations"),
        ] {
            let arguments = [format, flags].concat();
            let out = command(name, &place.path(), &arguments)
                .stderr(std::process::Stdio::piped())
                .output()
                .await
                .unwrap();
            let error = String::from_utf8(out.stderr).unwrap();
            assert_eq!(
                (out.status.code(), out.stdout.as_slice()),
                (Some(code), &b""[..]),
                "{error}"
            );
            assert!(error.contains(part), "{error}");
        }
    }
}
