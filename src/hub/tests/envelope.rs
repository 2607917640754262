use serde_json::json;

use super::node::{KEY, TestNode, event};
use crate::hub::router::{Access, table};

const EVENTS: &str = "/api/v1/router/events";

#[tokio::test]
async fn every_answer_carries_both_ids_and_the_security_headers() {
    let node = TestNode::start().await;
    let requests = [
        (200, node.request("GET", "/healthz")),
        (200, node.request("GET", "/")),
        (404, node.request("GET", "/nowhere")),
        (405, node.request("DELETE", "/healthz")),
        (401, node.request("GET", "/api/v1/status")),
        (415, node.request("POST", EVENTS).header("X-Service-Key", KEY).body("{}")),
        (413, node.request("POST", EVENTS).header("X-Service-Key", KEY).json(&event(&"x".repeat(70_000)))),
        (400, node.request("POST", EVENTS).header("X-Service-Key", KEY).json(&json!({}))),
    ];
    for (want, request) in requests {
        let response = request.header("X-Correlation-ID", "order-66").send().await.unwrap();
        assert_eq!(response.status(), want);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-correlation-id"), "order-66");
        assert_eq!(header("x-request-id").len(), 26);
        assert!(header("content-security-policy").starts_with("default-src 'none'"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        if want >= 400 {
            let body: serde_json::Value = response.json().await.unwrap();
            assert_eq!(body["success"], false, "{want}");
            assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string(), "{want}");
            assert!(body["timestamp"].is_string(), "{want}");
        }
    }
}

#[tokio::test]
async fn a_correlation_id_that_could_forge_a_log_line_is_replaced() {
    let node = TestNode::start().await;
    for bad in ["a b", &"x".repeat(129), ""] {
        let response = node.request("GET", "/healthz").header("X-Correlation-ID", bad).send().await.unwrap();
        let given = response.headers()["x-correlation-id"].to_str().unwrap();
        assert_ne!(given, bad);
        assert_eq!(given.len(), 26);
    }
}

#[tokio::test]
async fn no_endpoint_of_the_api_answers_without_the_key() {
    let node = TestNode::start().await;
    for row in table().into_iter().filter(|row| row.access == Access::Key) {
        for key in [None, Some(""), Some("wrong"), Some("9f3c1e7ab24d6058c1f7e92ab3d4605")] {
            let mut request = node.request(row.method.as_str(), row.path);
            if let Some(key) = key {
                request = request.header("X-Service-Key", key);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{} {} with {key:?}", row.method, row.path);
        }
    }
    let response = node.request("GET", "/api/v1/status").header("X-API-Key", KEY).send().await.unwrap();
    assert_eq!(response.status(), 200, "the other header's name is accepted");
}

#[tokio::test]
async fn the_probes_tell_process_and_dependencies_apart() {
    let node = TestNode::start().await;
    let health: serde_json::Value =
        node.request("GET", "/health").send().await.unwrap().json().await.unwrap();
    assert_eq!(health["data"]["status"], "healthy");
    node.db.close().await;
    assert_eq!(node.request("GET", "/healthz").send().await.unwrap().status(), 200);
    assert_eq!(node.request("GET", "/readyz").send().await.unwrap().status(), 503);
    let response = node.request("GET", "/health").send().await.unwrap();
    assert_eq!(response.status(), 503);
    let health: serde_json::Value = response.json().await.unwrap();
    assert_eq!(health["data"]["status"], "degraded");
    assert_eq!(health["data"]["dependencies"]["storage"], "closed");
    let (status, body) = node.call("GET", "/api/v1/audit", None).await;
    assert_eq!(status, 507, "{body}");
}

#[tokio::test]
async fn the_page_names_channels_and_the_next_step_without_a_script() {
    let node = TestNode::start().await;
    let page = node.request("GET", "/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("<li>twitch:ann</li>"), "{page}");
    assert!(page.contains("waddlebot channels add"), "{page}");
    assert!(!page.contains("<script"), "{page}");
}
