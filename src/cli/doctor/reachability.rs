//! Whether Twitch's hosts can be reached from here.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::Finding;
use crate::config::{Config, TwitchConfig};

const NAME: &str = "network";

/// Time for a connection, TLS included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the chat, the API and the login server, each once.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let twitch = &config.platforms.twitch;
    let tls = match trust(twitch) {
        Ok(tls) => tls,
        Err(why) => return vec![Finding::fail(NAME, why)],
    };
    let http = |text: &str| Url::parse(text).ok();
    let targets = [
        ("the chat (irc_url)", Some(twitch.irc_url.clone())),
        ("the API (helix_url)", http(&twitch.helix_url)),
        ("the login server (auth_url)", http(&twitch.auth_url)),
    ];
    let checks = targets.into_iter().filter_map(|(what, url)| Some((what, url?)));
    futures_util::future::join_all(checks.map(|(what, url)| check(what, url, &tls, twitch.enabled))).await
}

async fn check(what: &'static str, url: Url, tls: &TlsConnector, is_needed: bool) -> Finding {
    let host = url.host_str().unwrap_or_default().to_owned();
    let error = match tokio::time::timeout(TIMEOUT, connect(&url, &host, tls)).await {
        Ok(Ok(())) => return Finding::ok(NAME, format!("{what} at {host} can be reached")),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "no answer within 5 s".to_owned(),
    };
    let message =
        format!("{what} at {host} cannot be reached ({error}); check the network, firewall and DNS here");
    // Somebody who only talks in the terminal needs no network.
    if is_needed { Finding::fail(NAME, message) } else { Finding::warn(NAME, message) }
}

async fn connect(url: &Url, host: &str, tls: &TlsConnector) -> std::io::Result<()> {
    let (is_encrypted, port_default) = match url.scheme() {
        "wss" | "https" => (true, 443),
        "ircs" => (true, 6697),
        "irc" => (false, 6667),
        _ => (false, 80),
    };
    let bare_host = host.trim_matches(['[', ']']).to_owned();
    let socket = TcpStream::connect((bare_host.as_str(), url.port().unwrap_or(port_default))).await?;
    if is_encrypted {
        let name = ServerName::try_from(bare_host).map_err(std::io::Error::other)?;
        tls.connect(name, socket).await?;
    }
    Ok(())
}

/// The system's authorities and those of `ca_file`.
fn trust(twitch: &TwitchConfig) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &twitch.ca_file {
        use rustls::pki_types::pem::PemObject;
        let certificates = rustls::pki_types::CertificateDer::pem_file_iter(path)
            .map_err(|error| format!("ca_file {} cannot be read: {error}", path.display()))?;
        roots.add_parsable_certificates(certificates.flatten());
    }
    if roots.is_empty() {
        return Err("this machine trusts no authority; install its ca-certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS here: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
