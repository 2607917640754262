use std::collections::BTreeSet;

use utoipa::OpenApi;

use crate::hub::openapi::Document;
use crate::hub::router::{Access, table};

fn documented() -> serde_json::Value {
    serde_json::from_str(&Document::openapi().to_json().unwrap()).unwrap()
}

fn in_document(document: &serde_json::Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    operations.collect()
}

#[test]
fn the_document_lists_exactly_the_table() {
    let in_table: BTreeSet<(String, String)> =
        table().iter().map(|row| (row.method.to_string(), row.path.to_owned())).collect();
    let mut document = documented();
    assert_eq!(in_document(&document), in_table);

    // A forgotten endpoint is seen.
    document["paths"].as_object_mut().unwrap().remove("/api/v1/audit");
    assert_ne!(in_document(&document), in_table);
}

#[test]
fn every_endpoint_is_described_and_says_whether_it_needs_the_key() {
    let document = documented();
    for row in table() {
        let operation = &document["paths"][row.path][row.method.as_str().to_lowercase()];
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(summary.ends_with('.'), "{} {} has no sentence", row.method, row.path);
        let is_keyed = operation["security"][0]["service_key"].is_array();
        assert_eq!(is_keyed, row.access == Access::Key, "{} {}", row.method, row.path);
        assert!(operation["responses"].as_object().is_some_and(|responses| !responses.is_empty()));
    }
}

#[test]
fn everything_under_the_api_but_the_document_needs_the_key() {
    for row in table() {
        let needs = row.path.starts_with("/api/") && row.path != "/api/v1/openapi.json";
        assert_eq!(row.access == Access::Key, needs, "{}", row.path);
    }
}
