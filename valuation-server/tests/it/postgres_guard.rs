//! The files and processes of a private PostgreSQL, gone with the test process however that ends.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use rustix::process::Pid;

/// The superuser of a server.
pub(crate) const ADMINISTRATOR: &str = "administrator";
pub(crate) const PASSWORD: &str = "a secret: /?#";

/// Runs the command of its arguments, which makes the template in the folder `$0`, and answers with its status.
/// The end of its input is the end of the test process.
const MAKE: &str = r#"
trap '' PIPE
"$@" </dev/null >"$0/log" 2>&1
echo "$?"
read -r _
rm -rf "$0"
"#;

/// Copies the template `$1`. Whenever a line comes, starts the server of the other arguments and answers with its
/// process id. At the end of the test process it stops the server and removes the folder. Until the shell
/// waits for it, the id of a dead server is not another process's.
pub(crate) const SERVE: &str = r#"
trap '' PIPE
cp -a "$1" "$0/data"
shift
server=
while read -r _; do
    [ -z "$server" ] || wait "$server"
    "$@" </dev/null >>"$0/log" 2>&1 &
    server=$!
    echo "$server"
done
if [ -n "$server" ]; then
    kill -CONT "$server"
    kill -QUIT "$server"
    wait "$server"
    # A killed server leaves its lock file, and in it the id of its shared memory.
    [ ! -f "$0/data/postmaster.pid" ] || ipcrm -m "$(sed -n '7s/^ *[0-9]* *//p' "$0/data/postmaster.pid")"
fi 2>/dev/null
rm -rf "$0"
"#;

/// A folder, and the shell that removes it when the test process has gone, after whatever runs in it: SIGKILL
/// leaves nothing behind.
pub(crate) struct Guarded {
    pub(crate) folder: PathBuf,
    shell: Child,
    lines: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Guarded {
    /// The arguments are made for the folder.
    pub(crate) fn new(script: &str, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir().unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        let arguments = arguments(folder.path());
        let folder = folder.keep();
        let mut shell = Command::new("/bin/sh")
            .args(["-c", script])
            .arg(&folder)
            .args(arguments)
            .current_dir(&folder)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            // A signal of the terminal is for the test process.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        Self { folder, shell, lines, answers }
    }

    pub(crate) fn start(&mut self) -> Pid {
        self.lines.as_mut().unwrap().write_all(b"start\n").unwrap();
        Pid::from_raw(self.answer()).unwrap()
    }

    fn answer(&mut self) -> i32 {
        let mut number = String::new();
        self.answers.read_line(&mut number).unwrap();
        number
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the shell does not answer: {}", self.log()))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.lines.take());
        let _ = self.shell.wait();
    }
}

/// What `initdb` made, once for all servers of the process.
pub(crate) static TEMPLATE: LazyLock<Option<(PathBuf, Guarded)>> = LazyLock::new(|| {
    let Some(programs) = programs() else {
        println!("skipped: there is no `initdb` on the PATH and none in /usr/lib/postgresql");
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "PostgreSQL must be there in CI");
        return None;
    };
    let mut template = Guarded::new(MAKE, |folder| {
        let password = folder.join("password");
        fs::write(&password, PASSWORD).unwrap();
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.extend(["--no-sync", "--auth=scram-sha-256"].map(str::to_owned));
        // An order of texts that is not that of their bytes, as most databases have: where bytes matter, the
        // column must say so.
        let order = ["--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en"];
        initdb.extend(order.map(str::to_owned));
        initdb.push(format!("--username={ADMINISTRATOR}"));
        initdb.push(format!("--pwfile={}", text(&password)));
        initdb.push(format!("--pgdata={}", text(&folder.join("data"))));
        initdb
    });
    assert_eq!(template.answer(), 0, "initdb: {}", template.log());
    Some((programs, template))
});

/// The folder of the programs: on the PATH, or the newest of Debian's.
fn programs() -> Option<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let number = |entry: fs::DirEntry| {
        let path = entry.path();
        Some((path.file_name()?.to_str()?.parse::<u32>().ok()?, path.join("bin")))
    };
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = debian.flatten().filter_map(number).max().map(|(_, folder)| folder);
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
    };
    env::split_paths(&on_path).chain(newest).find(complete)
}

/// The user and the group that run the server if we are root, which it refuses.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let ids: Vec<_> = line.split(':').skip(2).take(2).flat_map(str::parse).collect();
        Some((*ids.first()?, *ids.get(1)?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user without rights"))
}

/// The words that run a program by a user whom it accepts.
pub(crate) fn as_user(program: &Path) -> Vec<String> {
    let mut words = Vec::new();
    if let Some((user, group)) = unprivileged() {
        words.extend(["setpriv", "--clear-groups"].map(str::to_owned));
        words.extend([format!("--reuid={user}"), format!("--regid={group}")]);
    }
    words.push(text(program));
    words
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
