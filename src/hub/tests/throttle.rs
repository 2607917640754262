//! Limits of callers without the right service key.

use super::node::{KEY, TestNode};

const PATH: &str = "/api/v1/status";

async fn status(node: &TestNode, path: &str, key: &str, forwarded: &str) -> u16 {
    let request = node.request("GET", path).header("X-Service-Key", key).header("X-Forwarded-For", forwarded);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn failed_authentications_are_limited_and_the_right_key_is_not() {
    let node = TestNode::start().await;
    assert_eq!(status(&node, PATH, "wrong", "").await, 401);
    let node = TestNode::start_with(&[("WADDLEBOT_LIMITS__HTTP_FAILED_AUTH_PER_IP", "3")]).await;
    for _ in 0..3 {
        assert_eq!(status(&node, PATH, "wrong", "").await, 401);
    }
    let refused = node.request("GET", PATH).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let secs: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&secs), "{secs}");
    let body: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(
        (body["success"].as_bool(), body["error"]["code"].as_str()),
        (Some(false), Some("rate_limited"))
    );
    assert_eq!(status(&node, PATH, "wrong", "203.0.113.9").await, 429, "nobody's word is taken");
    for path in [PATH, "/healthz", "/readyz", "/metrics", "/"] {
        assert_eq!(status(&node, path, KEY, "").await, 200, "{path}");
        assert!(path == PATH || status(&node, path, "wrong", "").await == 200, "{path}");
    }
}

#[tokio::test]
async fn callers_behind_a_trusted_proxy_are_counted_one_by_one() {
    let node = TestNode::start_with(&[
        ("WADDLEBOT_LIMITS__HTTP_FAILED_AUTH_PER_IP", "1"),
        ("WADDLEBOT_HUB__TRUSTED_PROXIES", "127.0.0.0/8"),
    ])
    .await;
    assert_eq!(status(&node, PATH, "wrong", "203.0.113.9").await, 401);
    assert_eq!(status(&node, PATH, "wrong", "203.0.113.9").await, 429);
    assert_eq!(status(&node, PATH, "wrong", "203.0.113.10").await, 401);
    assert_eq!(status(&node, PATH, "wrong", "1.2.3.4, 203.0.113.9").await, 429, "left of it anybody writes");
}

#[tokio::test]
async fn calls_without_a_key_are_limited_together() {
    let node = TestNode::start_with(&[("WADDLEBOT_LIMITS__HTTP_PER_IP", "2")]).await;
    let document = "/api/v1/openapi.json";
    assert_eq!(status(&node, document, "", "").await, 200);
    assert_eq!(status(&node, PATH, "", "").await, 401);
    assert_eq!(status(&node, document, "", "").await, 429);
    assert_eq!(status(&node, document, KEY, "").await, 200);
}
