//! `[node]`: who this process is.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::section::TIME_MS;

/// Longest node id, in bytes; a host name's label has as many.
const ID_BYTES_MAX: usize = 63;

/// What a node does in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Owns channels and runs their actors.
    Channels,
    /// Holds connections to chat platforms.
    Platforms,
    /// Serves HTTP.
    Hub,
}

/// Who this process is.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// 1 to 63 letters, digits, `-`, `_` or `.`; the host's name when the environment has one, else `local`.
    pub id: String,
    /// At least one, each once.
    pub roles: Vec<Role>,
    /// Folder of everything the node keeps on disk, relative to the working directory.
    pub data_dir: PathBuf,
    /// A turn of the runtime that takes longer ends the process.
    pub watchdog: Duration,
}

impl NodeConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("node");
        let host = section.foreign_env("HOSTNAME").filter(|host| is_node_id(host)).unwrap_or("local");
        let id = section.parsed("id", |text| {
            is_node_id(text).then(|| text.to_owned()).ok_or_else(|| {
                format!(
                    "must be 1 to {ID_BYTES_MAX} letters, digits, `-`, `_` or `.`, a letter or digit first"
                )
            })
        });
        let roles = section.list("roles", parse_role).unwrap_or_else(|| Role::ALL.to_vec());
        if roles.is_empty() {
            section.refuse("roles", format!("must name at least one of {ROLE_NAMES}"));
        }
        Self {
            id: id.unwrap_or_else(|| host.to_owned()),
            roles: Role::ALL.into_iter().filter(|role| roles.contains(role)).collect(),
            data_dir: section.text("data_dir").unwrap_or_else(|| "data".to_owned()).into(),
            watchdog: section.duration_ms("watchdog_ms", 2_500, TIME_MS),
        }
    }
}

const ROLE_NAMES: &str = "\"channels\", \"platforms\", \"hub\"";

impl Role {
    const ALL: [Self; 3] = [Self::Channels, Self::Platforms, Self::Hub];
}

fn parse_role(name: &str) -> Result<Role, String> {
    match name {
        "channels" => Ok(Role::Channels),
        "platforms" => Ok(Role::Platforms),
        "hub" => Ok(Role::Hub),
        _ => Err(format!("must hold only {ROLE_NAMES}")),
    }
}

fn is_node_id(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= ID_BYTES_MAX
        && text.bytes().all(legal)
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}
