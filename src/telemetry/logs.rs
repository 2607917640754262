//! Where the log goes: standard error, or a rotated file while the console has the terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, TelemetryConfig};

/// A log file is turned over at this size; [`FILES_KEPT`] of them are kept.
const FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;
const FILES_KEPT: u32 = 3;

/// Where log lines are written.
#[derive(Clone, Debug)]
pub enum LogTarget {
    Stderr,
    /// Everything into this file, warnings to the screen too.
    File(PathBuf),
}

/// Installs the log of the process. Once a process.
///
/// # Errors
/// When the filter of `telemetry.log` cannot be read or the log file not opened.
pub fn install(config: &TelemetryConfig, target: &LogTarget) -> anyhow::Result<()> {
    let filter = || {
        EnvFilter::try_new(&config.log).map_err(|error| {
            anyhow::anyhow!("telemetry.log: {error}; write for example `info` or `waddlebot=debug`")
        })
    };
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = match target {
        LogTarget::Stderr => vec![formatted(config, io::stderr, filter()?)],
        LogTarget::File(path) => {
            let screen = fmt::layer().with_writer(io::stderr).with_target(false).without_time();
            vec![
                formatted(config, RotatedFile::open(path)?, filter()?),
                screen.with_filter(LevelFilter::WARN).boxed(),
            ]
        }
    };
    tracing_subscriber::registry().with(layers).try_init()?;
    Ok(())
}

fn formatted<W>(
    config: &TelemetryConfig,
    writer: W,
    filter: EnvFilter,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    match config.log_format {
        LogFormat::Json => fmt::layer().json().with_writer(writer).with_filter(filter).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(writer).with_filter(filter).boxed(),
    }
}

/// A log file that is turned over when it is full.
#[derive(Clone, Debug)]
pub struct RotatedFile(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl RotatedFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Open { path: path.to_owned(), file, bytes }))))
    }
}

impl Open {
    fn turn_over(&mut self) -> io::Result<()> {
        let numbered = |n: u32| self.path.with_extension(format!("log.{n}"));
        for n in (1..FILES_KEPT - 1).rev() {
            if numbered(n).exists() {
                fs::rename(numbered(n), numbered(n + 1))?;
            }
        }
        fs::rename(&self.path, numbered(1))?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for RotatedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes >= FILE_BYTES_MAX {
            open.turn_over()?;
        }
        let written = open.file.write(line)?;
        open.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file.flush()
    }
}

impl<'w> MakeWriter<'w> for RotatedFile {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_turned_over_and_three_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waddlebot.log");
        let mut log = RotatedFile::open(&path).unwrap();
        for _ in 0..5 {
            log.0.lock().unwrap().bytes = FILE_BYTES_MAX;
            log.write_all(b"one line\n").unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one line\n");
    }
}
