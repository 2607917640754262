//! A certificate authority of its own, made at each start.

use std::io::{Error, Result, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

/// Makes an authority, a certificate for loopback, and the PEM file that clients trust.
pub(crate) fn make() -> Result<(TlsAcceptor, NamedTempFile)> {
    let authority_key = KeyPair::generate().map_err(Error::other)?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, authority_key).map_err(Error::other)?;

    let key = KeyPair::generate().map_err(Error::other)?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).map_err(Error::other)?;
    leaf.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let leaf = leaf.signed_by(&key, &authority).map_err(Error::other)?;

    let mut ca_file = tempfile::Builder::new().prefix("fake-twitch-ca-").suffix(".pem").tempfile()?;
    ca_file.write_all(authority.pem().as_bytes())?;
    ca_file.flush()?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private_key = PrivateKeyDer::try_from(key.serialize_der()).map_err(Error::other)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private_key)
        .map_err(Error::other)?;
    Ok((TlsAcceptor::from(Arc::new(config)), ca_file))
}
