use serde_json::json;

use super::node::{KEY, TestNode};

#[tokio::test]
async fn a_channel_is_added_listed_and_removed() {
    let node = TestNode::start().await;
    let (status, again) = node.call("POST", "/api/v1/channels", Some(json!({ "key": "Twitch:#Ann" }))).await;
    assert_eq!((status, &again["data"]["added"]), (200, &json!(false)));
    let keys = json!({ "keys": ["twitch:bob", "twitch:ann", "twitch:cid"] });
    let (status, imported) = node.call("POST", "/api/v1/channels/import", Some(keys)).await;
    assert_eq!((status, &imported["data"]), (200, &json!({ "added": 2, "known": 1 })));
    let (_, page) = node.call("GET", "/api/v1/channels?limit=2", None).await;
    assert_eq!(page["data"]["items"][1]["key"], "twitch:bob");
    let cursor = page["data"]["next_cursor"].as_str().unwrap();
    let (_, page) = node.call("GET", &format!("/api/v1/channels?limit=2&cursor={cursor}"), None).await;
    assert_eq!(
        (&page["data"]["items"][0]["key"], &page["data"]["next_cursor"]),
        (&json!("twitch:cid"), &json!(null))
    );
    let (status, _) = node.call("DELETE", "/api/v1/channels/twitch:bob", None).await;
    assert_eq!(status, 200);
    let (status, gone) = node.call("GET", "/api/v1/channels/twitch:bob", None).await;
    assert_eq!((status, &gone["error"]["code"]), (404, &json!("unknown_channel")));
    let (status, back) = node.call("POST", "/api/v1/channels", Some(json!({ "key": "twitch:bob" }))).await;
    assert_eq!((status, &back["data"]["added"]), (201, &json!(true)));
}

#[tokio::test]
async fn lists_and_imports_are_bounded() {
    let node = TestNode::start().await;
    for path in [
        "/api/v1/channels?limit=0",
        "/api/v1/channels?limit=101",
        "/api/v1/audit?limit=x",
        "/api/v1/channels?x=1",
    ] {
        let (status, answer) = node.call("GET", path, None).await;
        assert_eq!(status, 400, "{path}: {answer}");
    }
    for n_keys in [0, 501] {
        let keys: Vec<String> = (0..n_keys).map(|n| format!("twitch:c{n}")).collect();
        let (status, _) = node.call("POST", "/api/v1/channels/import", Some(json!({ "keys": keys }))).await;
        assert_eq!(status, 400, "{n_keys}");
    }
    let (status, _) =
        node.call("POST", "/api/v1/channels/import", Some(json!({ "keys": ["twitch:ok", "nope"] }))).await;
    assert_eq!(status, 400);
    assert_eq!(node.directory.len(), 1, "all or none");
}

#[tokio::test]
async fn a_running_channel_is_described_and_its_modules_operated() {
    let node = TestNode::start().await;
    let (_, asleep) = node.call("GET", "/api/v1/channels/twitch:ann", None).await;
    assert_eq!((&asleep["data"]["running"], &asleep["data"]["report"]), (&json!(false), &json!(null)));
    node.run_actor(false).await;
    let (_, awake) = node.call("GET", "/api/v1/channels/twitch:ann", None).await;
    assert_eq!(awake["data"]["report"]["modules"][0]["breaker"], "OPEN");
    let (_, modules) = node.call("GET", "/api/v1/modules?channel=twitch:ann", None).await;
    let ping = &modules["data"]["modules"][0];
    assert_eq!(
        (&ping["breaker"], &ping["restarts"], &ping["retry_in_secs"]),
        (&json!("OPEN"), &json!(3), &json!(5))
    );
    for deed in ["restart", "enable", "disable"] {
        let (status, done) =
            node.call("POST", &format!("/api/v1/channels/twitch:ann/modules/ping/{deed}"), None).await;
        assert_eq!((status, &done["data"]["running"]), (200, &json!(true)), "{deed}");
    }
    let stored = storage::module_states::of_channel(&node.db, node.slot().id).await.unwrap();
    assert_eq!(stored.iter().map(|state| state.is_enabled).collect::<Vec<_>>(), [false]);
    let (status, _) = node.call("POST", "/api/v1/channels/twitch:ann/modules/nope/enable", None).await;
    assert_eq!(status, 404);
    let (status, _) = node.call("POST", "/api/v1/channels/twitch:ann/restart", None).await;
    assert_eq!((status, node.operator.0.lock().unwrap().as_slice()), (200, [node.slot().id].as_slice()));
}

#[tokio::test]
async fn a_silent_channel_costs_a_second_and_is_named_missing() {
    let node = TestNode::start().await;
    node.run_actor(true).await;
    let started = std::time::Instant::now();
    let (status, answer) = node.call("GET", "/api/v1/channels/twitch:ann", None).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("channel_silent")));
    let (status, answer) = node.call("GET", "/api/v1/modules", None).await;
    assert_eq!(
        (status, &answer["data"]["partial"], &answer["data"]["missing_channels"]),
        (200, &json!(true), &json!(1))
    );
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn a_command_is_added_changed_and_removed_and_each_is_audited() {
    let node = TestNode::start().await;
    let new = json!({ "channel": "twitch:ann", "name": "!Hi", "response": "Hello $(user)", "level": "vip" });
    let (status, added) = node.call("POST", "/api/v1/commands", Some(new.clone())).await;
    assert_eq!(status, 201, "{added}");
    let command = &added["data"];
    assert_eq!(
        (&command["name"], &command["level"], &command["cooldown_secs"]),
        (&json!("hi"), &json!("vip"), &json!(5))
    );
    assert_eq!(node.call("POST", "/api/v1/commands", Some(new)).await.0, 409);
    let id = command["id"].as_str().unwrap();
    let change = json!({ "response": "Hey", "enabled": false });
    let (_, changed) = node.call("PUT", &format!("/api/v1/commands/{id}"), Some(change)).await;
    assert_eq!((&changed["data"]["response"], &changed["data"]["enabled"]), (&json!("Hey"), &json!(false)));
    let (_, listed) = node.call("GET", "/api/v1/commands?channel=twitch:ann", None).await;
    assert_eq!(listed["data"]["items"].as_array().unwrap().len(), 1);
    let request = node.request("DELETE", &format!("/api/v1/commands/{id}")).header("X-Service-Key", KEY);
    let removed = request.header("X-Acting-User", "twitch:42").send().await.unwrap();
    assert_eq!(removed.status(), 200);
    assert_eq!(node.call("DELETE", &format!("/api/v1/commands/{id}"), None).await.0, 404);
    let (_, audit) = node.call("GET", "/api/v1/audit", None).await;
    let actions: Vec<_> =
        audit["data"]["items"].as_array().unwrap().iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, ["command.remove", "command.edit", "command.add", "channel.add"]);
    assert_eq!(audit["data"]["items"][0]["actor"], "twitch:42");
}

#[tokio::test]
async fn a_command_that_chat_would_refuse_is_refused() {
    let node = TestNode::start().await;
    let with = |name: &str, response: &str| json!({ "name": name, "response": response });
    for (body, want) in [
        (with("a b", "x"), 400),
        (with("ping", "x"), 409),
        (with("pong", "x"), 409),
        (with("hi", "$(eval 1)"), 400),
        (with("hi", "$(urlfetch http://[::1]/)"), 400),
        (json!({ "name": "hi", "response": "x", "level": "king" }), 400),
        (json!({ "name": "hi", "response": "x", "cooldown_secs": 86_401 }), 400),
        (json!({ "name": "hi", "response": "x", "channel": "twitch:zoe" }), 404),
        (json!({ "name": "hi", "response": "x", "owner": true }), 400),
    ] {
        let (status, answer) = node.call("POST", "/api/v1/commands", Some(body.clone())).await;
        assert_eq!(status, want, "{body}: {answer}");
    }
}

#[tokio::test]
async fn an_idempotency_key_makes_a_repeat_harmless() {
    let node = TestNode::start().await;
    for _ in 0..2 {
        let request = node.request("POST", "/api/v1/commands").header("X-Service-Key", KEY);
        let body = json!({ "name": "hi", "response": "Hello" });
        let answer = request.header("Idempotency-Key", "once").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
    }
    let (_, listed) = node.call("GET", "/api/v1/commands", None).await;
    assert_eq!(listed["data"]["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_alias_is_added_expanded_and_removed_and_never_calls_itself() {
    let node = TestNode::start().await;
    let alias = |name: &str, body: &str| json!({ "channel": "twitch:ann", "name": name, "body": body });
    let (status, added) = node.call("POST", "/api/v1/aliases", Some(alias("so", "!shout {arg1}"))).await;
    assert_eq!(status, 201, "{added}");
    assert_eq!(node.call("POST", "/api/v1/aliases", Some(alias("so", "!x"))).await.0, 409);
    assert_eq!(node.call("POST", "/api/v1/aliases", Some(alias("shout", "!so"))).await.0, 400);
    assert_eq!(node.call("POST", "/api/v1/aliases", Some(alias("ping", "!so"))).await.0, 409);
    let call = json!({ "channel": "twitch:ann", "name": "!SO", "user": "bob", "args": "zoe now" });
    let (_, expanded) = node.call("POST", "/api/v1/aliases/execute", Some(call)).await;
    assert_eq!(
        (&expanded["data"]["command"], &expanded["data"]["usage_count"]),
        (&json!("!shout zoe"), &json!(1))
    );
    let id = added["data"]["id"].as_str().unwrap();
    assert_eq!(node.call("DELETE", &format!("/api/v1/aliases/{id}"), None).await.0, 200);
    let (_, listed) = node.call("GET", "/api/v1/aliases?channel=twitch:ann", None).await;
    assert_eq!(listed["data"]["items"], json!([]));
}

#[tokio::test]
async fn a_node_alone_has_no_pins_and_no_other_nodes_to_drain() {
    let node = TestNode::start().await;
    let pin = "/api/v1/cluster/pins/twitch:ann";
    let (status, answer) = node.call("PUT", pin, Some(json!({ "node": "b" }))).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{answer}");
    assert_eq!(node.call("DELETE", pin, None).await.0, 409);
    let (status, answer) = node.call("GET", "/api/v1/cluster/pins", None).await;
    assert_eq!((status, &answer["data"]["items"]), (200, &json!([])));
    let (status, answer) = node.call("POST", "/api/v1/cluster/nodes/b/drain", None).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")), "{answer}");
}
