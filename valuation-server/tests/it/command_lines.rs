//! What the command line says about itself: examples, completions, manual pages, colours.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Output, Stdio};

use clap::{CommandFactory as _, Parser as _};
use tokio::process::Command;
use valuation_server::cli::Cli;

use crate::process_harness::binary;

/// The words of a command line: quotes of both kinds; a substitution `$(…)` is kept as it is.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let (mut depth, mut before) = (0, ' ');
    for c in line.chars() {
        match (c, quote) {
            ('(', _) if depth > 0 || before == '$' => depth += 1,
            (')', _) if depth > 0 => depth -= 1,
            _ => {}
        }
        match (c, quote) {
            (c, _) if depth > 0 => word.get_or_insert_default().push(c),
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
        before = c;
    }
    words.extend(word);
    assert_eq!((quote, depth), (None, 0), "{line}");
    words
}

#[test]
fn words_are_those_that_a_shell_would_make() {
    assert_eq!(words("a  'b c' \"d e\"f ''"), ["a", "b c", "d ef", ""]);
    assert_eq!(
        words("b /x-$(date +%F).y \"$(date -u +%F)\""),
        ["b", "/x-$(date +%F).y", "$(date -u +%F)"]
    );
}

/// The command lines of the program in a help text, without what the shell does with their output.
fn examples(help: &str) -> Vec<Vec<String>> {
    let help = help.replace("\\\n", " ");
    let ours = help.lines().filter(|line| line.starts_with("    valuation-server "));
    let plain = |word: &String| ![">", "|", "&", "<"].contains(&word.as_str());
    ours.map(|line| words(line.trim()).into_iter().take_while(plain).collect()).collect()
}

#[test]
fn each_command_has_examples_and_each_example_is_a_command_line() {
    for command in Cli::command().get_subcommands() {
        let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples(&below);
        let own = examples.iter().filter(|example| example[1] == command.get_name());
        assert!(own.count() > 0, "{} has no examples", command.get_name());
        for example in examples {
            let parsed = Cli::try_parse_from(&example);
            assert!(parsed.is_ok(), "{example:?}: {}", parsed.unwrap_err());
        }
        for line in below.lines() {
            assert!(line.len() <= 100, "{}: {line}", command.get_name());
        }
    }
}

async fn output(args: &[&str], variables: &[(&str, &str)]) -> (i32, Vec<u8>, String) {
    let mut command = binary();
    command.stdout(Stdio::piped()).args(args).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    (status.code().unwrap(), stdout, String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn completions_of_each_shell_name_commands_and_flags_and_the_shell_takes_its_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, error) = output(&["completions", shell], &[]).await;
        assert_eq!((code, error.as_str()), (0, ""), "{shell}");
        let text = String::from_utf8(script).unwrap();
        for name in ["serve", "report", "supercar-url", "time-zone"] {
            assert!(text.contains(name), "{shell}: {name}");
        }
        // Those that are installed; `-n` reads without executing.
        if ["bash", "fish", "zsh"].contains(&shell) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("script");
            std::fs::write(&file, &text).unwrap();
            if let Ok(read) = std::process::Command::new(shell).arg("-n").arg(&file).output() {
                assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {read:?}");
            }
        }
    }
    let (code, _, error) = output(&["completions", "csh"], &[]).await;
    assert_eq!(code, 2);
    assert!(error.contains("bash") && error.contains("zsh"), "{error}");
}

#[tokio::test]
async fn the_manual_has_a_page_for_each_command_and_its_examples_keep_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let (code, out, error) = output(&["man", "--out", pages.to_str().unwrap()], &[]).await;
    assert_eq!((code, out.as_slice(), error.as_str()), (0, &b""[..], ""));
    let commands: Vec<String> =
        Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let read = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    for command in &commands {
        let page = read(&format!("valuation-server-{command}.1"));
        for heading in
            [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", ".SH EXAMPLES"]
        {
            assert!(page.contains(heading), "{command}: {heading}\n{page}");
        }
        assert!(page.contains(&format!("\n    valuation\\-server {command}")), "{page}");
        // A formatter that complains has found a mistake.
        let man = std::process::Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-z"])
            .arg(pages.join(format!("valuation-server-{command}.1")))
            .output();
        if let Ok(said) = man {
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(!said.contains("error"), "{command}: {said}");
        }
    }
    assert_eq!(std::fs::read_dir(&pages).unwrap().count(), commands.len() + 1);
    let (code, main, _) = output(&["man"], &[]).await;
    assert_eq!(code, 0);
    assert_eq!(String::from_utf8(main).unwrap(), read("valuation-server.1"));

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, _, error) = output(&["man", "--out", file.to_str().unwrap()], &[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("name another folder"), "{error}");
}

/// The command of a server that starts and asks nobody.
fn server(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = binary();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--supercar-url", "http://supercar.invalid"])
        .args(["--premium-url", "http://premium.invalid", "--database"])
        .arg(folder.join("v.sqlite"))
        .env("TERM", "xterm")
        .envs(variables.iter().copied());
    command
}

/// The line of the log that says where the server listens.
fn listening(log: impl Read) -> String {
    let mut lines = BufReader::new(log).lines().map(Result::unwrap);
    lines.find(|line| line.contains("listening on http://")).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_log_has_colours_on_a_terminal_unless_no_color_or_the_terminal_says_otherwise() {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    for (variables, coloured) in [
        (&[][..], true),
        (&[("NO_COLOR", "")], true),
        (&[("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
        (&[("CLICOLOR", "0")], false),
    ] {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let terminal = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut command = server(folder.path(), variables);
        let mut child = command.stderr(Stdio::from(terminal)).spawn().unwrap();
        let line = listening(std::fs::File::from(ours));
        assert_eq!(line.contains('\x1b'), coloured, "{variables:?}: {line:?}");
        child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_goes_to_no_terminal_has_no_colours_unless_they_are_forced() {
    for (variables, coloured) in [
        (&[][..], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = server(folder.path(), variables).spawn().unwrap();
        let log = child.stderr.take().unwrap().into_owned_fd().unwrap();
        let line = listening(std::fs::File::from(log));
        assert_eq!(line.contains('\x1b'), coloured, "{variables:?}: {line:?}");
        child.kill().await.unwrap();
    }
}
