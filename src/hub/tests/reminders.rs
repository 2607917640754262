use serde_json::{Value, json};

use super::node::{KEY, TestNode};

const REMINDERS: &str = "/api/v1/memories/reminders";
const ANN: &str = "/api/v1/memories/reminders/twitch:ann";

/// A call in the name of `user`.
async fn act(node: &TestNode, user: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = node.request(method, path).header("X-Service-Key", KEY).header("X-Acting-User", user);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// For account 7, with what `change` sets.
fn reminder(remind_in: &str, change: &Value) -> Value {
    let mut body = json!({ "community_id": "twitch:ann", "user_id": "7", "username": "Bob",
        "reminder_text": "drink", "remind_in": remind_in, "channel": "twitch" });
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn set(node: &TestNode, remind_in: &str, change: Value) -> Value {
    let (status, set) = act(node, "twitch:7", "POST", REMINDERS, Some(reminder(remind_in, &change))).await;
    assert_eq!(status, 201, "{set}");
    set["data"].clone()
}

fn ids(listed: &Value) -> Vec<&str> {
    listed["data"]["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn reminders_are_set_shown_listed_counted_and_deleted() {
    for node in TestNode::start_on_both().await {
        let late = set(&node, "2d", json!({})).await;
        let early = set(&node, "1h30m", json!({ "platform_channel_id": "ann", "user_id": "8" })).await;
        assert_eq!((&late["number"], &late["status"]), (&json!(1), &json!("pending")));
        assert_eq!((&late["created_by"], &late["recurring_rule"]), (&json!("twitch:7"), &Value::Null));
        let (late_id, early_id) = (late["id"].as_str().unwrap(), early["id"].as_str().unwrap());
        let (_, shown) = node.call("GET", &format!("{ANN}/{late_id}"), None).await;
        assert_eq!(shown["data"], late);
        for query in ["", "?community_id=twitch:ann"] {
            let (_, pending) = node.call("GET", &format!("{REMINDERS}/pending{query}"), None).await;
            assert_eq!(ids(&pending), [early_id, late_id], "{query}");
        }
        let (_, page) = node.call("GET", &format!("{REMINDERS}/pending?limit=1&offset=1"), None).await;
        assert_eq!(ids(&page), [late_id]);
        let (_, for_bob) = node.call("GET", &format!("{ANN}/user/7"), None).await;
        assert_eq!(ids(&for_bob), [late_id]);
        let (_, figures) = node.call("GET", &format!("{ANN}/stats"), None).await;
        assert_eq!(
            (&figures["data"]["pending"], &figures["data"]["next_at"]),
            (&json!(2), &early["remind_at"])
        );

        let path = format!("{ANN}/{late_id}");
        let (status, refused) = act(&node, "twitch:9", "DELETE", &path, None).await;
        assert_eq!(status, 403, "{refused}");
        let (status, gone) = act(&node, "twitch:7", "DELETE", &path, None).await;
        assert_eq!((status, &gone["data"]["id"]), (200, &json!(late_id)), "{gone}");
        assert_eq!(act(&node, "twitch:7", "DELETE", &path, None).await.0, 404);
        assert_eq!(node.call("GET", &path, None).await.0, 404);
        assert_eq!(
            node.call("DELETE", &format!("{ANN}/{early_id}"), None).await.0,
            200,
            "the service may all"
        );
    }
}

#[tokio::test]
async fn a_rule_sets_when_it_comes_again_and_a_service_that_says_it_moves_it_on() {
    for node in TestNode::start_on_both().await {
        let rule = json!({ "recurring_rule": "FREQ=DAILY;COUNT=2", "timezone": "Europe/Berlin" });
        let daily = set(&node, "1h", rule).await;
        let stored = daily["recurring_rule"].as_str().unwrap();
        assert!(stored.starts_with("DTSTART;TZID=Europe/Berlin:") && stored.contains("COUNT=2"), "{stored}");
        let sent = format!("{REMINDERS}/{}/sent", daily["id"].as_str().unwrap());
        let (status, refused) = act(&node, "twitch:9", "POST", &sent, Some(json!({}))).await;
        assert_eq!(status, 403, "{refused}");
        let (status, next) = node.call("POST", &sent, Some(json!({}))).await;
        assert_eq!(status, 200, "{next}");
        assert!(next["data"]["next_reminder"].is_string(), "{next}");
        let (_, last) = node.call("POST", &sent, Some(json!({ "schedule_next": true }))).await;
        assert_eq!(last["data"]["next_reminder"], Value::Null, "the second of two");
        let (status, over) = node.call("POST", &sent, Some(json!({}))).await;
        assert_eq!(status, 409, "{over}");
        let all = format!("{ANN}/user/7?include_sent=true");
        let (_, listed) = node.call("GET", &all, None).await;
        let item = &listed["data"]["items"][0];
        assert_eq!((&item["status"], &item["times_sent"]), (&json!("sent"), &json!(2)));
        assert!(ids(&node.call("GET", &format!("{ANN}/user/7"), None).await.1).is_empty());

        let ended = set(&node, "1h", json!({ "recurring_rule": "FREQ=DAILY" })).await;
        let sent = format!("{REMINDERS}/{}/sent", ended["id"].as_str().unwrap());
        let (_, done) = node.call("POST", &sent, Some(json!({ "schedule_next": false }))).await;
        assert_eq!(done["data"]["next_reminder"], Value::Null, "{done}");
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_reminder_is_named_at_once() {
    for node in TestNode::start_on_both().await {
        let wrong = json!({ "user_id": "", "username": "x".repeat(101), "reminder_text": " \n",
            "recurring_rule": "FREQ=SECONDLY" });
        let (status, answer) = node.call("POST", REMINDERS, Some(reminder("10m", &wrong))).await;
        let details = answer["error"]["details"].as_object().unwrap();
        assert_eq!((status, details.len()), (400, 4), "{answer}");
        assert!(details["recurring_rule"].as_str().unwrap().contains("HOURLY, DAILY"), "{answer}");
        for (remind_in, change, field, want) in [
            ("soon", json!({}), "remind_in", "is not a time"),
            ("2020-01-01", json!({}), "remind_in", "is over already"),
            ("10m", json!({ "timezone": "Mars/Olympus" }), "timezone", "no time zone"),
            ("10m", json!({ "recurring_rule": "FREQ=HOURLY;BYMINUTE=0,1" }), "recurring_rule", "15 minutes"),
            (
                "10m",
                json!({ "recurring_rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30" }),
                "recurring_rule",
                "never",
            ),
            ("10m", json!({ "platform_channel_id": "nobody" }), "platform_channel_id", "no channel of this"),
            ("10m", json!({ "channel": "discord" }), "platform_channel_id", "no channel on that platform"),
        ] {
            let (status, answer) = node.call("POST", REMINDERS, Some(reminder(remind_in, &change))).await;
            let told = answer["error"]["details"][field].as_str().unwrap_or_default();
            assert!(status == 400 && told.contains(want), "{change}: {answer}");
        }
        for (method, path, body, want) in [
            ("POST", REMINDERS.to_owned(), Some(reminder("10m", &json!({ "channel": "myspace" }))), 400),
            ("POST", REMINDERS.to_owned(), Some(reminder("10m", &json!({ "sent": true }))), 400),
            (
                "POST",
                REMINDERS.to_owned(),
                Some(reminder("10m", &json!({ "community_id": "twitch:no" }))),
                404,
            ),
            ("GET", format!("{REMINDERS}/pending?limit=0"), None, 400),
            ("GET", format!("{REMINDERS}/pending?community_id=twitch:no"), None, 404),
            ("GET", format!("{ANN}/01ARZ3NDEKTSV4RRFFQ69G5FAV"), None, 404),
            ("GET", format!("{ANN}/one"), None, 404),
            ("POST", format!("{REMINDERS}/01ARZ3NDEKTSV4RRFFQ69G5FAV/sent"), Some(json!({})), 404),
            ("DELETE", format!("{ANN}/01ARZ3NDEKTSV4RRFFQ69G5FAV"), None, 404),
        ] {
            let (given, answer) = node.call(method, &path, body).await;
            assert_eq!(given, want, "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn an_account_has_at_most_twenty_five_over_the_api_too() {
    for node in TestNode::start_on_both().await {
        for _ in 0..25 {
            set(&node, "1d", json!({})).await;
        }
        let (status, full) =
            act(&node, "twitch:7", "POST", REMINDERS, Some(reminder("1d", &json!({})))).await;
        assert_eq!(status, 409, "{full}");
        assert!(full.to_string().contains("at most 25 pending"), "{full}");
        let (status, other) = node.call("POST", REMINDERS, Some(reminder("1d", &json!({})))).await;
        assert_eq!(status, 201, "the service has no such limit: {other}");
    }
}
