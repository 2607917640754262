//! TLS between nodes: both sides show a certificate that the cluster's own authority signed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Both sides of one node.
#[derive(Clone, Debug)]
pub struct PeerTls {
    pub client: ClientConfig,
    pub server: Arc<ServerConfig>,
}

impl PeerTls {
    /// Reads the node's certificate with its key and the authority, all PEM.
    ///
    /// # Errors
    /// A file that cannot be read or does not hold what it should; the text names it.
    pub fn load(certificate: &Path, key: &Path, authority: &Path) -> io::Result<Self> {
        let named = |path: &Path, error: &dyn std::fmt::Display| {
            io::Error::other(format!("{}: {error}", path.display()))
        };
        let mut roots = RootCertStore::empty();
        let signers = CertificateDer::pem_file_iter(authority)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| named(authority, &error))?;
        for signer in signers {
            roots.add(signer).map_err(|error| named(authority, &error))?;
        }
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| named(certificate, &error))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), private.clone_key())
            .map_err(|error| named(certificate, &error))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| named(authority, &error))?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, private)
            .map_err(|error| named(certificate, &error))?;
        Ok(Self { client, server: Arc::new(server) })
    }
}
