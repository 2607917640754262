//! Starts one `PostgreSQL` for all tests of this machine's user, and lets it end with the last of them.
//!
//! Each test process holds a shared lock on the file `users` as long as it lives. A watcher waits for the
//! exclusive lock, which it gets when no test process is left, however they ended; then it stops the server.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::sync::OnceCell;

/// What to install when there is no server.
pub(super) const MISSING: &str = "the tests need PostgreSQL: `apt-get install postgresql`, \
     or set WADDLEBOT_TEST_POSTGRES to the address of a server where databases may be created";

struct Server {
    /// Address with `{}` in the place of the database.
    pattern: String,
    /// Says that this process uses the server; `None` for a server of somebody else.
    _user: Option<File>,
}

/// The address of one database of the server; starts the server when there is none.
pub(super) async fn url_of(database: &str) -> String {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    let server = SERVER
        .get_or_init(|| async {
            tokio::task::spawn_blocking(find_or_start)
                .await
                .expect("the server starts; see the message above")
        })
        .await;
    server.pattern.replace("{}", database)
}

fn find_or_start() -> Server {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let given = std::env::var("WADDLEBOT_TEST_POSTGRES");
    match given {
        Ok(url) => Server { pattern: pattern_of(&url), _user: None },
        Err(_) => start_once(),
    }
}

/// Puts `{}` in the place of the address's database.
fn pattern_of(url: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, String::new()), |(a, o)| (a, format!("?{o}")));
    let authority_at = address.find("://").expect("WADDLEBOT_TEST_POSTGRES begins with postgres://") + 3;
    let database_at = address[authority_at..].find('/').map_or(address.len(), |at| authority_at + at);
    format!("{}/{{}}{options}", &address[..database_at])
}

fn start_once() -> Server {
    let folder = std::env::temp_dir().join(format!("waddlebot-pg-{}", user_id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let user = lock_file(&folder.join("users"));
    user.lock_shared().expect("the lock of the users");
    let starting = lock_file(&folder.join("starting"));
    starting.lock().expect("the lock of the start");
    let marker = folder.join("running");
    if !marker.exists() {
        start(&folder, &marker);
    }
    let pattern = format!("postgres://postgres@localhost/{{}}?host={}", folder.display());
    Server { pattern, _user: Some(user) }
}

fn lock_file(path: &Path) -> File {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).expect("a lock file can be made")
}

fn start(folder: &Path, marker: &Path) {
    let bin = find_binaries().expect(MISSING);
    let data = folder.join("data");
    if data.exists() {
        std::fs::remove_dir_all(&data).expect("a server that died left its data");
    }
    if user_id() == "0" {
        run(Command::new("chown").arg("postgres").arg(folder));
    }
    run(as_owner(&bin.join("initdb")).args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "-N"]).arg(&data));
    let options = format!(
        "-k {} -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
         -c max_connections=300 -c shared_buffers=64MB",
        folder.display()
    );
    let log = folder.join("log");
    run(as_owner(&bin.join("pg_ctl"))
        .arg("-D")
        .arg(&data)
        .arg("-l")
        .arg(log)
        .args(["-w", "-o", &options, "start"]));
    watch(folder, &bin, &data, marker);
    std::fs::write(marker, "").expect("the marker can be written");
}

/// Stops the server once the exclusive lock is to be had: when the last test process is gone.
fn watch(folder: &Path, bin: &Path, data: &Path, marker: &Path) {
    const STOP: &str = r#"rm -f "$3"; if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$1" -D "$2" -m immediate stop
        else "$1" -D "$2" -m immediate stop; fi; rm -rf "$2""#;
    let watcher = Command::new("flock")
        .arg("-x")
        .arg(folder.join("users"))
        .args(["sh", "-c", STOP, "sh"])
        .args([&bin.join("pg_ctl"), data, marker])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Interrupting the tests from the keyboard must not end the watcher before the server.
        .process_group(0)
        .spawn()
        .expect("flock of util-linux is installed");
    // It outlives this process, whose lock it waits for, so nobody can wait for it.
    drop(watcher);
}

/// The newest server of Debian's folders.
pub(super) fn find_binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let bins = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    bins.filter(|bin| bin.join("initdb").exists()).max()
}

/// `PostgreSQL` refuses to run as root; then the user that the package made runs it.
pub(super) fn as_owner(program: &Path) -> Command {
    if user_id() != "0" {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

pub(super) fn user_id() -> String {
    let output = Command::new("id").arg("-u").output().expect("`id` is installed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(super) fn run(command: &mut Command) {
    // A server that kept an open pipe of ours would keep us waiting for its end.
    let status = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} failed: {status}");
}

#[cfg(test)]
mod tests {
    use super::pattern_of;

    #[test]
    fn the_database_of_an_address_is_replaced_and_its_options_stay() {
        let pattern = "postgres://me:pw@host:5433/{}?sslmode=disable";
        assert_eq!(pattern_of("postgres://me:pw@host:5433/postgres?sslmode=disable"), pattern);
        assert_eq!(pattern_of("postgres://me:pw@host:5433?sslmode=disable"), pattern);
        assert_eq!(pattern_of("postgres://host"), "postgres://host/{}");
    }
}
