//! Whether the data folder can be written, and how much room there is.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use super::Finding;
use crate::config::Config;

const NAME: &str = "data folder";

/// Below this the log and the database soon fill the disk.
const FREE_MIB_WARN: u64 = 512;

/// Below this there is no room for a single busy day.
const FREE_MIB_FAIL: u64 = 16;

/// Looks at the configured folder; one that is missing is judged by whether it could be made.
pub(super) fn look(config: &Config) -> Finding {
    let folder = &config.node.data_dir;
    let shown = folder.display();
    if let Err(error) = try_write(folder) {
        return Finding::fail(
            NAME,
            format!(
                "{shown} cannot be written ({error}); let the bot's user write there, or set node.data_dir"
            ),
        );
    }
    match free_mib(folder) {
        Some(free) if free < FREE_MIB_FAIL => {
            Finding::fail(NAME, format!("only {free} MiB are free in {shown}; make room there"))
        }
        Some(free) if free < FREE_MIB_WARN => {
            Finding::warn(NAME, format!("{free} MiB are free in {shown}; make room there soon"))
        }
        Some(free) => Finding::ok(NAME, format!("{shown} can be written, {free} MiB are free")),
        None => Finding::ok(NAME, format!("{shown} can be written")),
    }
}

/// Writes and removes a file there; nothing of the node's own is touched.
fn try_write(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        let parent =
            folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return if parent.exists() { try_write(parent) } else { fs::create_dir_all(folder) };
    }
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let mut file = fs::File::create(&probe)?;
    let written = file.write_all(b"waddlebot doctor").and_then(|()| file.sync_all());
    fs::remove_file(&probe)?;
    written
}

/// What `df` says is free there; `None` when it cannot be asked.
fn free_mib(folder: &Path) -> Option<u64> {
    let folder = if folder.exists() { folder } else { Path::new(".") };
    let output = Command::new("df").args(["-Pk", "--"]).arg(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let free_kib: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(free_kib >> 10)
}
