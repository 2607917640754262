use super::*;

fn place(row: &str) -> Place<'_> {
    Place { table: "bot_accounts", row, column: "access_token" }
}

#[test]
fn a_secret_opens_only_in_its_own_row_and_column() {
    let vault = Vault::from_key([7; 32]).unwrap();
    let blob = vault.seal(place("a"), &SecretString::from("token")).unwrap();
    assert_eq!(vault.unseal(place("a"), &blob).unwrap().expose_secret(), "token");
    assert!(vault.unseal(place("b"), &blob).unwrap_err().to_string().contains("another row"));
    let other_column = Place { column: "refresh_token", ..place("a") };
    assert!(vault.unseal(other_column, &blob).is_err());
}

#[test]
fn another_key_is_named_as_the_reason_and_nothing_secret_is_shown() {
    let blob = Vault::from_key([7; 32]).unwrap().seal(place("a"), &SecretString::from("token")).unwrap();
    let error = Vault::from_key([8; 32]).unwrap().unseal(place("a"), &blob).unwrap_err().to_string();
    assert!(error.contains("another storage.key"), "{error}");
    assert!(!error.contains("token\""), "{error}");
    assert!(!blob.windows(5).any(|bytes| bytes == b"token"));
}

#[test]
fn a_changed_or_cut_blob_is_refused() {
    let vault = Vault::from_key([7; 32]).unwrap();
    let blob = vault.seal(place("a"), &SecretString::from("token")).unwrap();
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert!(vault.unseal(place("a"), &changed).is_err(), "byte {at}");
        assert!(vault.unseal(place("a"), &blob[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn the_key_file_is_made_once_and_only_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.key");
    let first = Vault::open_or_create(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Vault::open_or_create(&path).unwrap().key_id(), first.key_id());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Vault::open_or_create(&path).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}
