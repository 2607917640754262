//! `[cluster]`: several nodes as one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::reader::Reader;
use super::secret::read_private_file;
use super::section::{COUNT, Section, TIME_MS};
use super::storage::StorageKind;

/// Several nodes as one.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    pub enabled: bool,
    /// `None` only while the cluster is off.
    pub listen: Option<SocketAddr>,
    /// `host:port` that other nodes dial. `None`: the address of `listen`.
    pub advertise: Option<String>,
    /// What nodes know each other by. `None` only while the cluster is off.
    pub cookie: Option<SecretString>,
    /// Certificate of this node. `None`: links are not encrypted, which only loopback allows.
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate.
    pub tls_key: Option<PathBuf>,
    /// Authority that signed the certificates of all nodes.
    pub tls_ca: Option<PathBuf>,
    pub virtual_nodes: usize,
    /// At least three times `lease_renew`.
    pub lease_ttl: Duration,
    pub lease_renew: Duration,
    /// Less than `lease_ttl` − `lease_renew`.
    pub gate: Duration,
    pub handoff_timeout: Duration,
}

impl ClusterConfig {
    pub(super) fn read(reader: &mut Reader<'_>, storage: StorageKind) -> Self {
        let mut section = reader.section("cluster");
        let cluster = Self {
            enabled: section.flag("enabled", false),
            listen: section.address("listen"),
            advertise: section.parsed("advertise", parse_host_port),
            cookie: section.key_secret("cookie"),
            tls_cert: section.existing_file("tls_cert"),
            tls_key: section
                .parsed("tls_key", |text| read_private_file(text.as_ref()).map(|_| PathBuf::from(text))),
            tls_ca: section.existing_file("tls_ca"),
            virtual_nodes: section.count("virtual_nodes", 150, COUNT),
            lease_ttl: section.duration_ms("lease_ttl_ms", 2_000, TIME_MS),
            lease_renew: section.duration_ms("lease_renew_ms", 500, TIME_MS),
            gate: section.duration_ms("gate_ms", 1_400, TIME_MS),
            handoff_timeout: section.duration_ms("handoff_timeout_ms", 10_000, TIME_MS),
        };
        cluster.check_lease(&mut section);
        if cluster.enabled {
            Self::check_needs(&mut section, storage, cluster.listen);
        }
        cluster
    }

    fn check_lease(&self, section: &mut Section<'_, '_>) {
        let gate_limit = self.lease_ttl.saturating_sub(self.lease_renew);
        if self.lease_ttl < self.lease_renew * 3 {
            let least = (self.lease_renew * 3).as_millis();
            section.refuse("lease_ttl_ms", format!("must be at least 3 × lease_renew_ms, here {least}"));
        } else if self.gate >= gate_limit {
            let limit = gate_limit.as_millis();
            section
                .refuse("gate_ms", format!("must be less than lease_ttl_ms - lease_renew_ms, here {limit}"));
        }
    }

    fn check_needs(section: &mut Section<'_, '_>, storage: StorageKind, listen: Option<SocketAddr>) {
        if storage != StorageKind::Postgres {
            section.refuse("enabled", "a cluster needs PostgreSQL: set storage.url to postgres://…");
        }
        if !section.has("listen") {
            section.refuse("listen", "a cluster needs an explicit address, such as 10.0.0.1:7070");
        }
        let has_tls = ["tls_cert", "tls_key", "tls_ca"].map(|key| section.has(key));
        if has_tls.contains(&true) && has_tls.contains(&false) {
            section.refuse("tls_cert", "tls_cert, tls_key and tls_ca belong together: set all three or none");
        } else if !has_tls[0] && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            section.refuse(
                "tls_cert",
                "nodes that are not all on this machine need tls_cert, tls_key and tls_ca",
            );
        }
        if !section.has("cookie") && !section.has("cookie_file") {
            section.refuse("cookie", "a cluster needs a cookie of at least 32 bytes");
        }
    }
}

fn parse_host_port(text: &str) -> Result<String, String> {
    let legal = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    legal.then(|| text.to_owned()).ok_or_else(|| "must be HOST:PORT, such as node-1.internal:7070".to_owned())
}
