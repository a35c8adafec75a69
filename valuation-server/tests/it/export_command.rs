//! `export`, as an auditor runs it.

use std::fs;

use valuation_server::domain::Entry;

use crate::log_support::{command, ids, log_of, of_the_first_version, printed, run};
use crate::store_support::call;

#[tokio::test]
async fn each_row_is_exported_once_in_both_formats_with_null_and_empty_apart() {
    let place = log_of(5_000).await;
    place
        .neighbour()
        .execute_batch(
            "UPDATE ProviderLogs SET errorMessage = '' WHERE id = 1;
            UPDATE ProviderLogs SET vrm = '=1+1', errorMessage = 'a \"b\", c' WHERE id = 2;
            DELETE FROM ProviderLogs WHERE id BETWEEN 1000 AND 3999",
        )
        .unwrap();
    let expected: Vec<i64> = (1..1_000).chain(4_000..=5_000).collect();
    let jsonl = printed("export", &place, &["--format", "jsonl"]).await;
    assert_eq!(ids(&jsonl), expected);

    let csv = printed("export", &place, &["--format", "csv"]).await;
    let mut lines = csv.split_terminator("\r\n");
    assert_eq!(
        lines.next().unwrap(),
        "id,vrm,providerName,requestedAt,requestDurationMs,requestUrl,responseCode,errorCode,\
         errorMessage,outcome,rescue"
    );
    let lines: Vec<_> = lines.collect();
    let id = |line: &&str| line.split(',').next().unwrap().parse::<i64>().unwrap();
    assert_eq!(lines.iter().map(id).collect::<Vec<_>>(), expected);
    assert_eq!(
        lines[0],
        "1,V,SuperCar Valuations,2026-10-01T00:00:00.000Z,0,u,200,,\"\",success,false"
    );
    assert!(lines[1].starts_with("2,'=1+1,"), "{}", lines[1]);
    assert!(lines[1].contains(",\"a \"\"b\"\", c\","), "{}", lines[1]);
    assert!(lines[2].contains(",200,,,success,"), "{}", lines[2]);
}

#[tokio::test]
async fn a_time_and_a_provider_narrow_it_and_an_empty_one_has_the_header() {
    let place = log_of(200).await;
    let time = ["--from", "2026-10-01T01:00", "--to", "2026-10-01T02:00"];
    let of = |more: &[&'static str]| [&["--format", "jsonl"], &time[..], more].concat();
    assert_eq!(ids(&printed("export", &place, &of(&[])).await), (61..=120).collect::<Vec<_>>());
    let premium = printed("export", &place, &of(&["--provider", "Premium"])).await;
    assert_eq!(ids(&premium), [70, 80, 90, 100, 110, 120]);
    let none = printed("export", &place, &["--format", "csv", "--to", "2026-10"]).await;
    assert_eq!(none.lines().count(), 1);
    let older = of_the_first_version();
    assert_eq!(ids(&printed("export", &older, &["--format", "jsonl"]).await), [1, 2]);
}

#[tokio::test]
async fn a_file_is_there_as_a_whole_or_not_at_all_and_replaced_only_by_force() {
    let place = log_of(10).await;
    let target = place.folder.path().join("log.csv");
    let name = target.to_str().unwrap();
    let export = |more: &[&'static str]| {
        run(command("export", &place.path(), &[&["--format", "csv", "-o", name], more].concat()))
    };
    let (code, out, error) = export(&[]).await;
    assert_eq!((code, out.as_str(), error.as_str()), (0, "", ""));
    let written = fs::read_to_string(&target).unwrap();
    assert_eq!(written, printed("export", &place, &["--format", "csv"]).await);

    fs::write(&target, "another's").unwrap();
    let (code, _, error) = export(&[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("log.csv exists; name another file, or give --force"), "{error}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "another's");

    // What a killed one left is replaced.
    fs::write(place.folder.path().join("log.csv.part"), "x".repeat(100_000)).unwrap();
    assert_eq!(export(&["--force"]).await.0, 0);
    assert_eq!(fs::read_to_string(&target).unwrap(), written);
    assert!(!place.folder.path().join("log.csv.part").exists());
}

#[tokio::test]
async fn it_never_replaces_the_database_a_folder_or_a_device() {
    let place = log_of(1).await;
    let before = place.contents();
    let database = place.path();
    let wal = format!("{}-wal", database.display());
    for (target, part) in [
        (database.to_str().unwrap(), "is the database itself"),
        (&wal, "is the database itself, or a file next to it that SQLite needs"),
        (place.folder.path().to_str().unwrap(), "is not a regular file"),
        ("/dev/null", "is not a regular file"),
        ("/nowhere/log.csv", "cannot write /nowhere/log.csv.part: No such file"),
    ] {
        let arguments = ["--format", "csv", "--force", "-o", target];
        let (code, _, error) = run(command("export", &database, &arguments)).await;
        assert_eq!(code, 1, "{target}");
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(place.contents(), before);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_leaves_nothing() {
    let place = log_of(5_000).await;
    let mut shell = tokio::process::Command::new("sh");
    let script = "ulimit -f 100; exec \"$0\" export --database \"$1\" --format csv -o \"$2\"";
    let target = place.folder.path().join("log.csv");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_valuation-server")]);
    shell.arg(place.path()).arg(&target).env_clear().env("PATH", "/usr/bin:/bin");
    let (code, _, error) = run({
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        shell
    })
    .await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("cannot write") && error.contains("log.csv.part"), "{error}");
    assert!(!target.exists() && !place.folder.path().join("log.csv.part").exists());

    // `output` would replace the standard output.
    let mut child = command("export", &place.path(), &["--format", "csv"]);
    child.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let out = child.spawn().unwrap().wait_with_output().await.unwrap();
    let error = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{error}");
    assert!(error.contains("the output cannot be written: No space left"), "{error}");
}

#[tokio::test]
async fn next_to_a_running_server_it_keeps_no_read_transaction_while_nobody_reads_its_output() {
    let place = log_of(50_000).await;
    let store = place.open();
    let mut child = command("export", &place.path(), &["--format", "csv"]).spawn().unwrap();
    // Its pipe is full now, long before the end.
    let mut first = [0];
    let out = child.stdout.as_mut().unwrap();
    tokio::io::AsyncReadExt::read_exact(out, &mut first).await.unwrap();
    store.commit(Entry { valuation: None, calls: vec![call("V")] }).await.unwrap();
    let conn = place.neighbour();
    let emptied = || -> bool {
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap()
            == 0
    };
    conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    crate::store_support::until("the log can be emptied", emptied).await;
    assert!(child.try_wait().unwrap().is_none(), "it ended, and nothing was shown");
    let rest = child.wait_with_output().await.unwrap();
    assert_eq!(rest.status.code(), Some(0));
    let rest = String::from_utf8(rest.stdout).unwrap();
    assert_eq!(rest.matches("\r\n").count(), 1 + 50_000);
    store.shutdown().await;
}
