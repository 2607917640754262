use serde_json::{Value, json};

use super::node::{KEY, TestNode};

const SHOUTOUT: &str = "/api/v1/shoutout";
const TEMPLATE: &str = "/api/v1/shoutout/template";

fn shoutout(login: &str, platform: &str) -> Value {
    json!({ "username": login, "community_id": "twitch:ann", "platform": platform })
}

fn template(text: &str) -> Value {
    json!({ "community_id": "twitch:ann", "template": text })
}

/// The text of a shoutout for `login`.
async fn said(node: &TestNode, login: &str, platform: &str) -> String {
    let (status, answer) = node.call("POST", SHOUTOUT, Some(shoutout(login, platform))).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_shoutout_is_made_kept_listed_and_counted() {
    for node in TestNode::start_on_both().await {
        let (_, none) = node.call("GET", "/api/v1/shoutout/stats/twitch:ann", None).await;
        assert_eq!(
            none["data"],
            json!({ "total_shoutouts": 0, "unique_users": 0, "first_shoutout": null, "last_shoutout": null })
        );
        let body = json!({ "username": "@Ann", "community_id": "twitch:ann" });
        let (status, made) = node.call("POST", SHOUTOUT, Some(body)).await;
        let message = "ANN is live with Go right now: Openings – https://twitch.tv/ann";
        let want = json!({ "message": message, "target_username": "ann", "target_display_name": "ANN",
            "is_live": true, "game_name": "Go", "viewer_count": 7, "profile_image_url": "" });
        assert_eq!((status, &made["data"]), (200, &want));
        assert_eq!(
            said(&node, "bob", "discord").await,
            "Have a look at **BOB** (Chess): <https://twitch.tv/bob>"
        );
        said(&node, "ann", "slack").await;
        for path in ["/api/v1/shoutout/history/twitch:ann", "/api/v1/history/twitch:ann"] {
            let (status, listed) = node.call("GET", path, None).await;
            let history = listed["data"]["history"].as_array().unwrap();
            let found: Vec<_> = history
                .iter()
                .map(|line| (line["target_username"].as_str().unwrap(), line["platform"].as_str().unwrap()))
                .collect();
            assert_eq!((status, found), (200, vec![("ann", "slack"), ("bob", "discord"), ("ann", "twitch")]));
            assert_eq!((&listed["data"]["count"], &history[2]["message"]), (&json!(3), &json!(message)));
        }
        let (_, one) = node.call("GET", "/api/v1/shoutout/history/twitch:ann?limit=1", None).await;
        assert_eq!(one["data"]["count"], 1);
        for path in ["/api/v1/shoutout/stats/twitch:ann", "/api/v1/stats/twitch:ann"] {
            let (_, sums) = node.call("GET", path, None).await;
            let sums = &sums["data"];
            assert_eq!((&sums["total_shoutouts"], &sums["unique_users"]), (&json!(3), &json!(2)));
            assert!(sums["first_shoutout"].as_str() < sums["last_shoutout"].as_str(), "{sums}");
        }
    }
}

#[tokio::test]
async fn a_communitys_own_text_counts_until_it_is_emptied() {
    for node in TestNode::start_on_both().await {
        for (path, text) in
            [(TEMPLATE, "See {display_name} {login}!"), ("/api/v1/template", "{login}/{display_name}")]
        {
            let (status, saved) = node.call("POST", path, Some(template(text))).await;
            assert_eq!((status, &saved["data"]["template"]), (200, &json!(text)), "{saved}");
        }
        assert_eq!(said(&node, "ann", "twitch").await, "ann/ANN");
        assert_eq!(said(&node, "eve", "twitch").await, "eve/EVE");
        // Another platform, and who is offline, have texts of their own.
        assert!(said(&node, "ann", "slack").await.starts_with("Have a look"));
        assert!(said(&node, "bob", "twitch").await.starts_with("Have a look"));
        let offline = json!({ "community_id": "twitch:ann", "template": "later: {display_name} {login}", "is_live": false });
        assert_eq!(node.call("POST", TEMPLATE, Some(offline)).await.0, 200);
        assert_eq!(said(&node, "bob", "twitch").await, "later: BOB bob");
        let (status, back) = node.call("POST", TEMPLATE, Some(template(" "))).await;
        assert_eq!((status, &back["data"]["is_default"]), (200, &json!(true)), "{back}");
        let text = said(&node, "eve", "twitch").await;
        assert!(text.starts_with("EVE is live") && !text.contains(": /ban"), "{text}");
        let (_, audit) = node.call("GET", "/api/v1/audit", None).await;
        for action in ["shoutout.say", "shoutout.template"] {
            assert!(audit.to_string().contains(action), "{action}: {audit}");
        }
    }
}

#[tokio::test]
async fn moderators_and_the_service_may_and_nobody_else() {
    for node in TestNode::start_on_both().await {
        for (path, body) in [(SHOUTOUT, shoutout("ann", "twitch")), (TEMPLATE, template(""))] {
            let request = node.request("POST", path).header("X-Service-Key", KEY);
            let refused = request.header("X-Acting-User", "twitch:9").json(&body).send().await.unwrap();
            let (status, answer) = (refused.status(), refused.text().await.unwrap());
            assert_eq!(status, 403, "{answer}");
            assert!(answer.contains("moderators"), "{answer}");
        }
        let (_, stats) = node.call("GET", "/api/v1/shoutout/stats/twitch:ann", None).await;
        assert_eq!(stats["data"]["total_shoutouts"], 0);
    }
}

#[tokio::test]
async fn a_shoutout_that_is_repeated_with_its_key_is_kept_once() {
    for node in TestNode::start_on_both().await {
        for _ in 0..3 {
            let request = node.request("POST", SHOUTOUT).header("X-Service-Key", KEY);
            let request = request.header("Idempotency-Key", "one").json(&shoutout("ann", "twitch"));
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        let (_, stats) = node.call("GET", "/api/v1/shoutout/stats/twitch:ann", None).await;
        assert_eq!(stats["data"]["total_shoutouts"], 1);
    }
}

#[tokio::test]
async fn what_a_shoutout_cannot_be_made_of_is_named() {
    for node in TestNode::start_on_both().await {
        let wrong = json!({ "username": "no name", "community_id": "twitch:ann", "platform": "myspace" });
        let (status, answer) = node.call("POST", SHOUTOUT, Some(wrong)).await;
        assert_eq!((status, answer["error"]["details"].as_object().unwrap().len()), (400, 2), "{answer}");
        let (status, answer) =
            node.call("POST", TEMPLATE, Some(template("{display_name} {login} {followers}"))).await;
        let told = answer["error"]["details"]["template"].as_str().unwrap();
        assert_eq!(status, 400);
        assert!(told.contains("{followers}") && told.contains("viewer_count"), "{told}");
        for (method, path, body, want) in [
            ("POST", TEMPLATE, Some(template("{display_name} only")), 400),
            ("POST", TEMPLATE, Some(template(&"x".repeat(501))), 400),
            ("POST", TEMPLATE, Some(json!({ "community_id": "twitch:no", "template": "" })), 404),
            ("POST", SHOUTOUT, Some(shoutout("nobody", "twitch")), 404),
            ("POST", SHOUTOUT, Some(json!({ "username": "ann", "community_id": "twitch:no" })), 404),
            ("POST", SHOUTOUT, Some(json!({ "username": "ann" })), 400),
            ("GET", "/api/v1/shoutout/twitch/user/nobody", None, 404),
            ("GET", "/api/v1/shoutout/twitch/user/a%20b", None, 400),
            ("GET", "/api/v1/shoutout/history/twitch:ann?limit=101", None, 400),
            ("GET", "/api/v1/shoutout/history/twitch:no", None, 404),
            ("GET", "/api/v1/shoutout/stats/twitch:no", None, 404),
        ] {
            let (given, answer) = node.call(method, path, body).await;
            assert_eq!(given, want, "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_twitch_knows_is_shown_and_its_outage_says_when_to_come_back() {
    let node = TestNode::start().await;
    for path in ["/api/v1/shoutout/twitch/user/ann", "/api/v1/twitch/user/ann"] {
        let (status, shown) = node.call("GET", path, None).await;
        let data = &shown["data"];
        assert_eq!((status, &data["is_live"], &data["user"]["id"]), (200, &json!(true), &json!("id-ann")));
        assert_eq!(
            (&data["stream"]["viewer_count"], &data["channel"]["title"]),
            (&json!(7), &json!("Openings"))
        );
    }
    let (_, offline) = node.call("GET", "/api/v1/shoutout/twitch/user/bob", None).await;
    assert_eq!((&offline["data"]["stream"], &offline["data"]["is_live"]), (&Value::Null, &json!(false)));
    let request = node.request("GET", "/api/v1/shoutout/twitch/user/outage").header("X-Service-Key", KEY);
    let away = request.send().await.unwrap();
    assert_eq!((away.status().as_u16(), away.headers()["retry-after"].to_str().unwrap()), (503, "30"));
    for path in ["/api/v1/shoutout/circuit-breaker/metrics", "/api/v1/circuit-breaker/metrics"] {
        let (status, breaker) = node.call("GET", path, None).await;
        let want = json!({ "failure_threshold": 5, "timeout_seconds": 60, "success_threshold": 2 });
        assert_eq!(
            (status, &breaker["data"]["state"], &breaker["data"]["config"]),
            (200, &json!("CLOSED"), &want)
        );
    }
}
