//! `waddlebot cluster certificates`: an authority of the cluster's own, and a certificate for each node.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use super::super::output::{Failure, print_json, say, visible};

/// Ten years: nobody is reminded before the end, and who holds a key can be shut out by a new authority only.
const VALID: Duration = Duration::from_hours(24 * 3_650);

/// Clocks of two machines may differ by this much.
const SKEW: Duration = Duration::from_hours(1);

/// Whom to certify, and where to.
#[derive(Debug, Args)]
pub struct CertificatesArgs {
    /// Folder of the files; an authority that lies there with its key signs on
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// What the other nodes dial, without the port: an address or a name; one certificate each
    #[arg(long = "host", value_name = "NAME", required = true, num_args = 1..)]
    hosts: Vec<String>,
    /// Leave the certificates that are there and make the missing ones, instead of refusing
    #[arg(long)]
    missing_only: bool,
}

/// Makes them. Nothing that is there is changed.
pub(super) fn make(args: &CertificatesArgs, json: bool) -> Result<(), Failure> {
    let dir = &args.dir;
    let hosts = hosts_to_certify(args)?;
    let failed = |error: io::Error| {
        Failure::said(format!("the certificates in {} cannot be made: {error}", dir.display()))
    };
    if !hosts.is_empty() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let authority = authority(dir).map_err(failed)?;
        for host in &hosts {
            issue(dir, &authority, host).map_err(failed)?;
        }
    }
    if json {
        print_json(&json!({ "dir": dir, "made": hosts }));
        return Ok(());
    }
    for host in &hosts {
        say(format_args!("made {0}/{1}.pem and {0}/{1}.key", dir.display(), visible(host)));
    }
    say(format_args!(
        "Copy ca.pem and a node's own two files to that node, readable by its user alone, and name them there as\n\
         cluster.tls_ca, cluster.tls_cert and cluster.tls_key. Keep ca.key off the nodes: who has it can join.\n\
         A node more: the same command with its --host."
    ));
    Ok(())
}

/// The hosts without certificate. Refuses names that no certificate or file can carry, and what is there already.
fn hosts_to_certify(args: &CertificatesArgs) -> Result<Vec<String>, Failure> {
    let mut missing: Vec<String> = Vec::new();
    for host in &args.hosts {
        let is_word = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte));
        if !is_word
            || host.is_empty()
            || host.starts_with(['.', '-'])
            || host == "ca"
            || host.parse::<std::net::SocketAddr>().is_ok()
        {
            return Err(Failure::said(format!(
                "{} is no host; give a name or address without port",
                visible(host)
            )));
        }
        let there =
            ["pem", "key"].map(|kind| args.dir.join(format!("{host}.{kind}"))).map(|path| path.exists());
        match there {
            [true, true] if args.missing_only => {}
            [false, false] if !missing.contains(host) => missing.push(host.clone()),
            [false, false] => {}
            _ => {
                return Err(Failure::said(format!(
                    "{0}/{host}.pem or {0}/{host}.key is there already and is not overwritten; move both away, \
                     name another --dir, or give --missing-only",
                    args.dir.display()
                )));
            }
        }
    }
    Ok(missing)
}

/// The authority of the folder, made where there is none.
fn authority(dir: &Path) -> io::Result<Issuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "waddlebot cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params);
    let (path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
    let key = match (path.exists(), key_path.exists()) {
        (true, true) => KeyPair::from_pem(&fs::read_to_string(&key_path)?).map_err(io::Error::other)?,
        (false, false) => {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            write_private(&key_path, &key.serialize_pem())?;
            write_private(&path, &params.self_signed(&key).map_err(io::Error::other)?.pem())?;
            key
        }
        (true, false) => return Err(io::Error::other("ca.pem has no ca.key beside it, which signs")),
        (false, true) => return Err(io::Error::other("ca.key has no ca.pem beside it")),
    };
    Ok(Issuer::new(params, key))
}

/// Writes a node's certificate and key.
fn issue(dir: &Path, authority: &Issuer<'_, KeyPair>, host: &str) -> io::Result<()> {
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A node is both sides of its links.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    set_validity(&mut params);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.signed_by(&key, authority).map_err(io::Error::other)?;
    write_private(&dir.join(format!("{host}.key")), &key.serialize_pem())?;
    write_private(&dir.join(format!("{host}.pem")), &certificate.pem())
}

fn set_validity(params: &mut CertificateParams) {
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + VALID).into();
}

/// Writes a new file that only its owner can read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::cluster::peer_tls::PeerTls;

    fn args(dir: &Path, hosts: &[&str], missing_only: bool) -> CertificatesArgs {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        CertificatesArgs { dir: dir.to_owned(), hosts, missing_only }
    }

    fn load(dir: &Path, host: &str) -> PeerTls {
        let file = |kind: &str| dir.join(format!("{host}.{kind}"));
        PeerTls::load(&file("pem"), &file("key"), &dir.join("ca.pem")).expect("the files load")
    }

    fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
        files.map(|path| (path.clone(), fs::read(&path).expect("is read"))).collect()
    }

    /// Lets one node dial another, each in memory.
    fn dial(from: &PeerTls, to: &PeerTls, host: &str) -> Result<(), rustls::Error> {
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::new(from.client.clone()), name)?;
        let mut server = ServerConnection::new(Arc::clone(&to.server))?;
        for _ in 0..8 {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("memory takes it");
            server.read_tls(&mut wire.as_slice()).expect("memory gives it");
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).expect("memory takes it");
            client.read_tls(&mut wire.as_slice()).expect("memory gives it");
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking(), "both are through");
        Ok(())
    }

    #[test]
    fn nodes_with_these_certificates_trust_each_other_and_no_other_authority() {
        let (ours, others) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let dir = ours.path().join("new");
        make(&args(&dir, &["10.0.0.1", "node-2.internal"], false), true).expect("made");
        make(&args(&dir, &["10.0.0.3"], false), true).expect("the authority signs on");
        make(&args(others.path(), &["10.0.0.1"], false), true).expect("made");
        let (first, second, third) =
            (load(&dir, "10.0.0.1"), load(&dir, "node-2.internal"), load(&dir, "10.0.0.3"));
        dial(&first, &second, "node-2.internal").expect("trusted");
        dial(&second, &third, "10.0.0.3").expect("trusted");
        dial(&third, &first, "10.0.0.1").expect("trusted");
        assert!(dial(&first, &second, "node-3.internal").is_err(), "another name");
        let stranger = load(others.path(), "10.0.0.1");
        assert!(dial(&stranger, &second, "node-2.internal").is_err(), "another authority");
        assert!(dial(&second, &stranger, "10.0.0.1").is_err(), "another authority");
        for path in contents(&dir).keys() {
            let mode = fs::metadata(path).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn certificates_that_are_there_are_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        make(&args(dir, &["a", "b"], false), true).expect("made");
        let before = contents(dir);
        let refused = make(&args(dir, &["c", "a"], false), true).expect_err("refused");
        assert!(refused.to_string().contains("is there already and is not overwritten"), "{refused}");
        make(&args(dir, &["a", "b"], true), true).expect("nothing is missing");
        for host in ["ca", "../a", "a:7070/", "127.0.0.1:7070", ""] {
            make(&args(dir, &[host], true), true).expect_err(host);
        }
        assert_eq!(contents(dir), before);
        fs::remove_file(dir.join("ca.key")).expect("removed");
        let refused = make(&args(dir, &["c"], false), true).expect_err("refused");
        assert!(refused.to_string().contains("no ca.key"), "{refused}");
    }
}
