use std::time::Duration;

use domain::Level;
use serde_json::json;

use super::node::{KEY, TestNode, event};
use crate::messages::Source;

const EVENTS: &str = "/api/v1/router/events";

#[tokio::test]
async fn an_event_is_answered_with_its_replies() {
    let node = TestNode::start().await;
    let (status, answer) = node.call("POST", EVENTS, Some(event("!ping"))).await;
    assert_eq!(status, 200, "{answer}");
    let data = &answer["data"];
    assert_eq!((&data["success"], &data["processed"]), (&json!(true), &json!(true)));
    assert_eq!((data["command"].as_str(), data["module"].as_str()), (Some("ping"), Some("ping")));
    assert_eq!(data["response"], "Pong!");
    assert_eq!(data["action"], json!({ "type": "message", "content": "Pong!" }));
    let seen = node.channels.seen.lock().unwrap().pop().unwrap();
    assert_eq!(data["session_id"], seen.correlation_id.to_string());
    assert_eq!(
        (seen.source, seen.user.level, seen.user.login.as_str()),
        (Source::Router, Level::Everyone, "bob")
    );
}

#[tokio::test]
async fn several_replies_come_in_order_and_plain_chat_ends_at_once() {
    let node = TestNode::start().await;
    let (_, answer) = node.call("POST", EVENTS, Some(event("!twice"))).await;
    assert_eq!(answer["data"]["response"], "one\ntwo");
    assert_eq!(answer["data"]["more_actions"][0]["content"], "two");
    let (status, answer) = node.call("POST", EVENTS, Some(event("hello"))).await;
    assert_eq!((status, &answer["data"]["processed"]), (200, &json!(false)));
}

#[tokio::test]
async fn an_unknown_command_is_an_error_and_a_refusal_an_answer() {
    let node = TestNode::start().await;
    let (status, answer) = node.call("POST", EVENTS, Some(event("!nope"))).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknown_command")));
    let (status, answer) = node.call("POST", EVENTS, Some(event("!cold"))).await;
    let data = &answer["data"];
    assert_eq!((status, &data["success"], &data["status"]), (200, &json!(false), &json!("cooldown")));
    assert_eq!(data["response"], "Wait 4 s.");
    assert_eq!(data["refusal"]["seconds_left"], 4);
    let (status, answer) = node.call("POST", EVENTS, Some(event("!busy"))).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("overloaded")));
}

#[tokio::test]
async fn a_wrong_event_is_refused_by_the_name_of_its_field() {
    let node = TestNode::start().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut event = event("!ping");
        event[field] = value;
        event
    };
    for (wrong, status, want) in [
        (with("colour", json!("red")), 400, "colour"),
        (with("message", json!("x".repeat(5_001))), 400, "message"),
        (with("message_type", json!("timer_due")), 400, "message_type"),
        (with("message_type", json!("shout")), 400, "shout"),
        (with("platform", json!("tvitch")), 400, "platform"),
        (with("user_id", json!("")), 400, "user_id"),
        (with("username", json!("a\r\nb")), 400, "username"),
        (with("message_id", json!("x".repeat(129))), 400, "message_id"),
        (with("metadata", json!({ "level": "root" })), 400, "metadata.level"),
        (with("channel_id", json!("bob")), 404, "waddlebot channels add twitch:bob"),
    ] {
        let (got, answer) = node.call("POST", EVENTS, Some(wrong)).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(got == status && message.contains(want), "{got} {message}");
    }
    assert!(node.channels.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_caller_vouches_for_level_trace_and_ids() {
    let node = TestNode::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut event = event("!ping");
    event["metadata"] = json!({ "level": "moderator", "badge": 1 });
    event["server_id"] = json!("guild");
    let request = node.request("POST", EVENTS).header("X-Service-Key", KEY).header("traceparent", trace);
    let answer = request.header("Idempotency-Key", "once").json(&event).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = node.channels.seen.lock().unwrap().pop().unwrap();
    assert_eq!(seen.user.level, Level::Moderator);
    assert_eq!(seen.traceparent.as_deref(), Some(trace));
    assert_eq!(seen.message_id.as_deref(), Some("once"));
    assert_eq!((&seen.metadata["badge"], &seen.metadata["server_id"]), (&json!(1), &json!("guild")));
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_each_event_its_own_end() {
    let node = TestNode::start().await;
    let events = [
        event("!ping"),
        event("!nope"),
        json!({ "platform": "twitch", "channel_id": "x", "user_id": "1",
        "username": "a", "message": "", "message_type": "follow" }),
        event("!twice"),
    ];
    let (status, answer) =
        node.call("POST", "/api/v1/router/events/batch", Some(json!({ "events": events }))).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["data"]["results"].as_array().unwrap();
    assert_eq!(results[0]["response"], "Pong!");
    assert_eq!(results[1]["error"]["code"], "unknown_command");
    assert_eq!(results[2]["error"]["code"], "unknown_channel");
    assert_eq!(results[3]["response"], "one\ntwo");
    for n_events in [0, 101] {
        let events = vec![event("!ping"); n_events];
        let (status, _) =
            node.call("POST", "/api/v1/router/events/batch", Some(json!({ "events": events }))).await;
        assert_eq!(status, 400, "{n_events}");
    }
}

#[tokio::test]
async fn a_full_channel_sheds_with_a_time_to_come_back() {
    let node = TestNode::start().await;
    // The lane takes four; these are never ended and hold their places.
    let node_ref = &node;
    let kept =
        futures_util::future::join_all((0..4).map(|_| node_ref.call("POST", EVENTS, Some(event("!keep")))));
    let over = async {
        wait_until(|| node.slot().lane.in_flight() == 4).await;
        let request = node.request("POST", EVENTS).header("X-Service-Key", KEY).json(&event("!ping"));
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    };
    let (kept, ()) = tokio::join!(kept, over);
    for (status, answer) in kept {
        assert_eq!((status, &answer["error"]["code"]), (504, &json!("event_timeout")), "{answer}");
    }
}

#[tokio::test]
async fn a_late_answer_reaches_who_still_waits_and_is_taken_once() {
    let node = TestNode::start().await;
    let late = async {
        wait_until(|| !node.channels.seen.lock().unwrap().is_empty()).await;
        let session_id = node.channels.seen.lock().unwrap()[0].correlation_id.to_string();
        let response = json!({ "session_id": session_id, "response": "at last" });
        let (first, _) = node.call("POST", "/api/v1/router/responses", Some(response.clone())).await;
        let (second, _) = node.call("POST", "/api/v1/router/responses", Some(response)).await;
        (first, second)
    };
    let (kept, taken) = tokio::join!(node.call("POST", EVENTS, Some(event("!keep"))), late);
    assert_eq!(taken, (200, 404));
    assert_eq!(kept.0, 504);
    let (_, answered) = node.call("POST", EVENTS, Some(event("!ping"))).await;
    let response = json!({ "session_id": answered["data"]["session_id"], "response": "too late" });
    let (status, answer) = node.call("POST", "/api/v1/router/responses", Some(response)).await;
    assert_eq!((status, &answer["error"]["code"]), (410, &json!("caller_gone")));
}

/// Yields until `condition` holds; the test's own limit ends it otherwise.
async fn wait_until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("the condition holds within 5 s");
}
