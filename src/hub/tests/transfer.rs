use serde_json::{Value, json};

use super::node::{KEY, TestNode};

fn path(kind: &str) -> String {
    format!("/api/v1/transfer/{kind}/twitch:ann")
}

async fn import(node: &TestNode, kind: &str, rows: &Value, dry_run: bool) -> (u16, Value) {
    node.call("POST", &path(kind), Some(json!({ "dry_run": dry_run, "rows": rows }))).await
}

/// What an import did: added, changed, there already.
fn sums(answer: &(u16, Value)) -> [i64; 3] {
    assert_eq!(answer.0, 200, "{}", answer.1);
    ["added", "changed", "same"].map(|name| answer.1["data"][name].as_i64().unwrap())
}

async fn export(node: &TestNode, kind: &str) -> Vec<Value> {
    let (status, page) = node.call("GET", &path(kind), None).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(page["data"]["next_cursor"], Value::Null);
    page["data"]["rows"].as_array().unwrap().clone()
}

/// Two rows of each kind, and the second one changed.
fn kinds() -> [(&'static str, Value, Value, [i64; 3]); 4] {
    let at = "2026-01-02T03:04:05Z";
    [
        (
            "quotes",
            json!([{ "quote_text": "I like ducks", "author_username": "ann", "category": "Birds", "created_at": at },
                { "quote_text": "And geese" }]),
            json!({ "quote_text": "And geese", "author_username": "bob" }),
            [1, 0, 0],
        ),
        (
            "commands",
            json!([{ "name": "!Hi", "response": "Hello $(user)", "level": "vip", "cooldown_secs": "7" },
                { "name": "bye", "response": "Bye", "enabled": "false" }]),
            json!({ "name": "bye", "response": "Good bye", "enabled": false }),
            [0, 1, 0],
        ),
        (
            "bookmarks",
            json!([{ "url": "https://Example.org/cake#top", "title": "Cake", "tags": ["Food", "guide"], "created_at": at },
                { "url": "https://example.org/pie", "title": "Pie", "tags": "food, sweet" }]),
            json!({ "url": "https://example.org/pie", "title": "Pies" }),
            [0, 1, 0],
        ),
        (
            "timers",
            json!([{ "name": "rules", "text": "Be kind", "interval_secs": 600, "min_lines": 5, "only_live": false },
                { "name": "social", "text": "Hi $(channel)", "enabled": false }]),
            json!({ "name": "social", "text": "Hi $(channel)", "enabled": true }),
            [0, 1, 0],
        ),
    ]
}

#[tokio::test]
async fn what_is_exported_is_taken_in_elsewhere_as_it_was_and_a_dry_run_changes_nothing() {
    for node in TestNode::start_on_both().await {
        for (kind, rows, changed, want) in kinds() {
            let dry = import(&node, kind, &rows, true).await;
            assert_eq!((sums(&dry), &dry.1["data"]["dry_run"]), ([2, 0, 0], &json!(true)), "{kind}");
            assert_eq!(dry.1["data"]["changes"].as_array().unwrap().len(), 2, "{kind}");
            assert_eq!(export(&node, kind).await, Vec::<Value>::new(), "{kind}: a dry run");
            assert_eq!(sums(&import(&node, kind, &rows, false).await), [2, 0, 0], "{kind}");
            assert_eq!(sums(&import(&node, kind, &rows, false).await), [0, 0, 2], "{kind}: again");
            let exported = export(&node, kind).await;
            assert_eq!(
                sums(&import(&node, kind, &json!(exported), false).await),
                [0, 0, 2],
                "{kind}: its own"
            );
            // Another community gets the same rows.
            let other = format!("/api/v1/transfer/{kind}/twitch:bob");
            assert_eq!(
                node.call("POST", "/api/v1/channels", Some(json!({ "key": "twitch:bob" }))).await.0 / 100,
                2
            );
            let taken = node.call("POST", &other, Some(json!({ "rows": exported }))).await;
            assert_eq!(sums(&taken), [2, 0, 0], "{kind}: elsewhere");
            let back = node.call("GET", &other, None).await.1;
            assert_eq!(back["data"]["rows"], json!(exported), "{kind}");
            let answer = import(&node, kind, &json!([changed]), false).await;
            assert_eq!(sums(&answer), want, "{kind}: {}", answer.1);
            let what = answer.1["data"]["changes"][0]["did"].as_str().unwrap();
            assert_eq!(what, if want[0] == 1 { "added" } else { "changed" });
        }
        let (_, audit) = node.call("GET", "/api/v1/audit", None).await;
        assert!(audit.to_string().contains("transfer.import"), "{audit}");
    }
}

#[tokio::test]
async fn one_wrong_row_changes_nothing_and_every_wrong_row_is_named() {
    for node in TestNode::start_on_both().await {
        for (kind, rows, wrong, words) in [
            (
                "quotes",
                json!([{ "quote_text": "good" }, { "quote_text": "" }, { "quote_text": "x", "created_at": "3000-01-01T00:00:00Z" }]),
                2,
                ["quote_text must have 1 to 5000", "not in the future"],
            ),
            (
                "commands",
                json!([{ "name": "good", "response": "x" }, { "name": "ping", "response": "x" },
                    { "name": "bad", "response": "$(nonsense)", "level": "king" }]),
                2,
                ["built in", "nonsense"],
            ),
            (
                "bookmarks",
                json!([{ "url": "https://example.org/" }, { "url": "http://10.0.0.1/" }, { "url": "https://example.org/a", "colour": "red" }]),
                2,
                ["public internet", "colour is no field"],
            ),
            (
                "timers",
                json!([{ "name": "good", "text": "x" }, { "name": "a b", "text": "x", "interval_secs": "soon" },
                    { "name": "calls", "text": "!nothing" }]),
                2,
                ["interval_secs must be a number, 60 to 86400", "custom commands only"],
            ),
        ] {
            for dry_run in [true, false] {
                let (status, answer) = import(&node, kind, &rows, dry_run).await;
                let details = &answer["error"]["details"];
                assert_eq!((status, details.as_object().unwrap().len()), (400, wrong), "{kind}: {answer}");
                for (row, word) in ["row 2", "row 3"].iter().zip(words) {
                    assert!(details[row].as_str().unwrap().contains(word), "{kind} {row}: {answer}");
                }
            }
            assert_eq!(export(&node, kind).await, Vec::<Value>::new(), "{kind}");
        }
        let many: Vec<Value> = (0..501).map(|n| json!({ "quote_text": n.to_string() })).collect();
        for (method, path, body, want) in [
            ("POST", path("quotes"), Some(json!({ "rows": many })), 400),
            ("POST", path("quotes"), Some(json!({ "rows": [] })), 400),
            ("POST", path("quotes"), Some(json!({ "rows": ["x"] })), 400),
            ("POST", path("votes"), Some(json!({ "rows": [{}] })), 404),
            ("GET", path("votes"), None, 404),
            ("GET", format!("{}?limit=501", path("quotes")), None, 400),
            ("GET", format!("{}?cursor=x", path("quotes")), None, 400),
            ("GET", "/api/v1/transfer/quotes/twitch:no".to_owned(), None, 404),
        ] {
            let (given, answer) = node.call(method, &path, body).await;
            assert_eq!(given, want, "{method} {path}: {answer}");
        }
        let request = node.request("POST", &path("quotes")).header("X-Service-Key", KEY);
        let body = json!({ "rows": [{ "quote_text": "x" }] });
        let refused = request.header("X-Acting-User", "twitch:9").json(&body).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 403);
    }
}

#[tokio::test]
async fn an_export_comes_in_pages_and_misses_nothing() {
    for node in TestNode::start_on_both().await {
        let quotes: Vec<Value> = (0..7).map(|n| json!({ "quote_text": format!("quote {n}") })).collect();
        let commands: Vec<Value> =
            (0..7).map(|n| json!({ "name": format!("c{n}"), "response": "x" })).collect();
        for (kind, field, rows) in [("quotes", "quote_text", quotes), ("commands", "name", commands)] {
            assert_eq!(sums(&import(&node, kind, &json!(rows), false).await), [7, 0, 0]);
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = node.call("GET", &format!("{}?limit=3{cursor}", path(kind)), None).await.1;
                let rows = page["data"]["rows"].as_array().unwrap();
                assert!(rows.len() <= 3);
                found.extend(rows.iter().map(|row| row[field].as_str().unwrap().to_owned()));
                let Some(next) = page["data"]["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            let want: Vec<_> = rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect();
            assert_eq!(found, want);
        }
    }
}
