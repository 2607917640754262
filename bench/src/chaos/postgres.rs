//! A `PostgreSQL` server of the run's own, which can be killed, started again, and whose clock can be stepped.

use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;

use super::network::Place;

const PORT: u16 = 5_499;
const MAX_CONNECTIONS: u32 = 200;

/// Stopped with this value.
pub(crate) struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    /// The run's own sessions.
    pub(crate) pool: PgPool,
}

impl Postgres {
    /// Makes a server with the settings it comes with, durable, and starts it.
    ///
    /// # Errors
    /// No Debian package `postgresql`, or the port is taken.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        run(Command::new("chown").arg("postgres").arg(folder.path()))?;
        let programs = programs()?;
        let pool =
            PgPoolOptions::new().max_connections(4).connect_lazy(&Self::url()).map_err(Error::other)?;
        let postgres = Self { folder, programs, pool };
        let data = postgres.data();
        postgres.owner("initdb", &["-A", "trust", "-U", "postgres", "-E", "UTF8", "-D", &data])?;
        let allowed = "host all all 10.213.77.0/24 trust\n";
        let file = Path::new(&data).join("pg_hba.conf");
        let rules = std::fs::read_to_string(&file)? + allowed;
        std::fs::write(&file, rules)?;
        postgres.start()?;
        Ok(postgres)
    }

    pub(crate) fn url() -> String {
        format!("postgres://postgres@{}:{PORT}/postgres", Place::Database.address())
    }

    pub(crate) fn start(&self) -> Result<()> {
        let socket = self.folder.path().display();
        let address = Place::Database.address();
        let settings = format!(
            "-k {socket} -p {PORT} -c listen_addresses={address} -c max_connections={MAX_CONNECTIONS} -c shared_buffers=128MB"
        );
        let log = format!("{socket}/log");
        self.owner("pg_ctl", &["-D", &self.data(), "-l", &log, "-w", "-o", &settings, "start"])
    }

    /// Ends all its processes at once, as a crash does.
    pub(crate) fn kill(&self) -> Result<()> {
        self.owner("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"])
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// Runs one of its programs as the user that the package made: the server refuses to be root.
    fn owner(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(self.programs.join(program)).args(arguments);
        run(command.current_dir("/"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Not running after a failed scenario.
        drop(self.kill());
    }
}

fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .map_err(|_| Error::other("install Debian's package postgresql"))?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().ok_or_else(|| Error::other("install Debian's package postgresql"))
}

fn run(command: &mut Command) -> Result<()> {
    // Its children keep the pipe open, so nothing but the file may be their output.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(Error::other(format!("{command:?} failed: {status}"))) }
}
