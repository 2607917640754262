//! Settings: one TOML file, overridden by `WADDLEBOT_SECTION__KEY` from the environment.
//!
//! Each section is one file here with one struct and one `read`, where its keys, defaults and ranges stand
//! once. Readers go on after a problem, so that all problems are reported at once, each with file, line, key
//! and allowed range. No message ever shows a value: it could be a secret in the wrong place.

mod cluster;
mod commands;
mod hub;
mod limits;
mod nearest;
mod node;
mod platforms;
mod problem;
mod reader;
mod redis;
mod secret;
mod section;
mod storage;
mod telemetry;
mod twitch;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use self::cluster::ClusterConfig;
pub use self::commands::SeedCommand;
pub use self::hub::{HubConfig, Network};
pub use self::limits::LimitsConfig;
pub use self::node::{NodeConfig, Role};
pub use self::platforms::PlatformsConfig;
pub use self::problem::{ConfigErrors, Problem};
pub use self::redis::RedisConfig;
pub use self::storage::{StorageConfig, StorageKind};
pub use self::telemetry::{LogFormat, TelemetryConfig};
pub use self::twitch::TwitchConfig;

use self::reader::{Input, Reader};

/// Largest configuration file, in bytes; 100,000 channels fit.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Names the file when no path is given to [`Config::load`].
const CONFIG_ENV: &str = "WADDLEBOT_CONFIG";

/// Everything a node is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeConfig,
    pub storage: StorageConfig,
    pub redis: RedisConfig,
    pub cluster: ClusterConfig,
    pub hub: HubConfig,
    pub limits: LimitsConfig,
    pub platforms: PlatformsConfig,
    /// Global commands that exist from the first start.
    pub commands: Vec<SeedCommand>,
    pub telemetry: TelemetryConfig,
    /// What is legal but unwise, to be shown once at the start.
    pub warnings: Vec<String>,
    /// The file the settings came from; `None` in local mode.
    pub source: Option<PathBuf>,
}

impl Config {
    /// Reads and checks all settings. Without `path` the file is the one that `WADDLEBOT_CONFIG` names;
    /// without that too it is local mode, where the environment overrides the defaults.
    ///
    /// # Errors
    /// Every problem of file and environment; a retry helps only after one of them was changed.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let env: BTreeMap<String, String> = env.collect();
        let source = path.map(Path::to_path_buf).or_else(|| env.get(CONFIG_ENV).map(PathBuf::from));
        let input = match &source {
            Some(path) => Input { file: path.display().to_string(), text: read_file(path)?, env },
            None => Input { file: "defaults".to_owned(), text: String::new(), env },
        };
        let (root, syntax_errors) = DeTable::parse_recoverable(&input.text);
        let mut reader = Reader::new(&input, root.get_ref());
        for error in syntax_errors {
            reader.syntax_problem(error.span().map(|span| span.start), error.message());
        }
        let mut config = Self::read(&mut reader);
        reader.refuse_unknown();
        if let Some(path) = source.as_deref().filter(|_| reader.has_secret_in_file())
            && secret::others_can_read(path)
        {
            reader.warnings.push(format!(
                "{}: it holds secrets and other users of this machine can read it; `chmod 600` it",
                input.file
            ));
        }
        let (problems, warnings) = reader.finish();
        if !problems.is_empty() {
            return Err(ConfigErrors { problems });
        }
        config.warnings = warnings;
        config.source = source;
        Ok(config)
    }

    /// Settings of local mode: no file, everything at its default unless the environment says otherwise.
    pub fn local(env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        Self::load(None, env)
    }

    /// Reads the sections in the order of `cluster.toml`.
    fn read(reader: &mut Reader<'_>) -> Self {
        let node = NodeConfig::read(reader);
        let storage = StorageConfig::read(reader, &node.data_dir);
        Self {
            redis: RedisConfig::read(reader),
            cluster: ClusterConfig::read(reader, storage.kind),
            hub: HubConfig::read(reader),
            limits: LimitsConfig::read(reader),
            platforms: PlatformsConfig::read(reader),
            commands: commands::read(reader),
            telemetry: TelemetryConfig::read(reader),
            node,
            storage,
            warnings: Vec::new(),
            source: None,
        }
    }
}

/// The file's text, read to a limit.
fn read_file(path: &Path) -> Result<String, ConfigErrors> {
    let refused = |message: String| ConfigErrors::one(path.display().to_string(), message);
    let is_file = path.metadata().map(|meta| meta.is_file());
    if is_file.is_ok_and(|is_file| !is_file) {
        return Err(refused("it is not a file".to_owned()));
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| refused(format!("it cannot be read: {error}")))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
