use serde_json::{Value, json};

use super::node::{KEY, TestNode};

const BOOKMARKS: &str = "/api/v1/memories/bookmarks";
const ANN: &str = "/api/v1/memories/bookmarks/twitch:ann";

/// A call in the name of `user`.
async fn act(node: &TestNode, user: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = node.request(method, path).header("X-Service-Key", KEY).header("X-Acting-User", user);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn bookmark(url: &str, tags: &[&str]) -> Value {
    json!({ "community_id": "twitch:ann", "url": url, "tags": tags })
}

fn ids(listed: &Value) -> Vec<i64> {
    listed["data"]["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn bookmarks_are_kept_listed_searched_visited_and_counted() {
    for node in TestNode::start_on_both().await {
        let body = Some(bookmark("https://Example.org/cake#top", &["Food", "food", "Guide"]));
        let (status, kept) = act(&node, "twitch:7", "POST", BOOKMARKS, body.clone()).await;
        assert_eq!(status, 201, "{kept}");
        let data = &kept["data"];
        assert_eq!((&data["id"], &data["url"]), (&json!(1), &json!("https://example.org/cake")));
        assert_eq!((&data["title"], &data["tags"]), (&data["url"], &json!(["food", "guide"])));
        let (status, again) = act(&node, "twitch:8", "POST", BOOKMARKS, body).await;
        assert_eq!(
            (status, &again["data"]["id"], &again["data"]["created_by"]),
            (200, &json!(1), &json!("twitch:7"))
        );
        let second = json!({ "community_id": "twitch:ann", "url": "http://example.org/pie?a=1", "title": "<b>Pie</b>\u{7}",
            "description": "all about cake", "auto_fetch_metadata": false });
        let (status, second) = node.call("POST", BOOKMARKS, Some(second)).await;
        assert_eq!((status, &second["data"]["title"]), (201, &json!("<b>Pie</b>")), "{second}");
        for (query, want) in [
            ("", vec![2, 1]),
            ("?search_query=CAKE", vec![2, 1]),
            ("?search_query=pie", vec![2]),
            ("?search_query=%22*", vec![]),
            ("?tags=guide,nothing", vec![1]),
            ("?created_by=twitch:7", vec![1]),
            ("?limit=1&offset=1", vec![1]),
        ] {
            let (status, found) = node.call("GET", &format!("{ANN}{query}"), None).await;
            let mut found_ids = ids(&found);
            found_ids.sort_unstable_by(|one, other| other.cmp(one));
            assert_eq!((status, found_ids), (200, want), "{query}: {found}");
        }
        assert_eq!(ids(&node.call("GET", &format!("{ANN}/popular"), None).await.1), Vec::<i64>::new());
        for visits in 1..=3 {
            let (_, shown) = node.call("GET", &format!("{ANN}/1"), None).await;
            assert_eq!(shown["data"]["visits"], json!(visits));
        }
        assert_eq!(ids(&node.call("GET", &format!("{ANN}/popular?limit=5"), None).await.1), [1]);
        let (_, tags) = node.call("GET", &format!("{ANN}/tags"), None).await;
        assert_eq!(tags["data"]["items"][1], json!({ "tag": "guide", "count": 1 }));
        let (_, figures) = node.call("GET", &format!("{ANN}/stats"), None).await;
        let figures = &figures["data"];
        assert_eq!((&figures["total_bookmarks"], &figures["total_visits"]), (&json!(2), &json!(3)));
    }
}

#[tokio::test]
async fn the_creator_and_the_service_change_and_delete_and_nobody_else() {
    for node in TestNode::start_on_both().await {
        let body = Some(bookmark("https://example.org/", &["old"]));
        act(&node, "twitch:7", "POST", BOOKMARKS, body).await;
        let (path, change) = (format!("{ANN}/1"), json!({ "title": "New", "tags": ["new"] }));
        let (status, refused) = act(&node, "twitch:9", "PUT", &path, Some(change.clone())).await;
        assert_eq!(status, 403, "{refused}");
        let (status, changed) = act(&node, "twitch:7", "PUT", &path, Some(change)).await;
        assert_eq!(
            (status, &changed["data"]["title"], &changed["data"]["tags"]),
            (200, &json!("New"), &json!(["new"]))
        );
        assert_eq!(ids(&node.call("GET", &format!("{ANN}?tags=old"), None).await.1), Vec::<i64>::new());
        assert_eq!(act(&node, "twitch:9", "DELETE", &path, None).await.0, 403);
        let (status, gone) = node.call("DELETE", &path, None).await;
        assert_eq!((status, &gone["data"]["id"]), (200, &json!(1)), "{gone}");
        assert_eq!(node.call("DELETE", &path, None).await.0, 404);
        assert_eq!(node.call("PUT", &path, Some(json!({ "title": "x" }))).await.0, 404);
        let (_, audit) = node.call("GET", "/api/v1/audit", None).await;
        for action in ["bookmark.add", "bookmark.change", "bookmark.remove"] {
            assert!(audit.to_string().contains(action), "{action}: {audit}");
        }
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_bookmark_is_named_at_once() {
    for node in TestNode::start_on_both().await {
        let wrong = json!({ "community_id": "twitch:ann", "url": "http://10.0.0.1/", "title": "x".repeat(501),
            "description": "x".repeat(2_001), "tags": ["", "y"] });
        let (status, answer) = node.call("POST", BOOKMARKS, Some(wrong)).await;
        let details = answer["error"]["details"].as_object().unwrap();
        assert_eq!((status, details.len()), (400, 4), "{answer}");
        assert!(details["url"].as_str().unwrap().contains("public internet"), "{answer}");
        let many: Vec<String> = (0..21).map(|n| format!("t{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (method, path, body, want) in [
            ("POST", BOOKMARKS.to_owned(), Some(bookmark("https://example.org/", &many)), 400),
            ("POST", BOOKMARKS.to_owned(), Some(bookmark("ftp://example.org/", &[])), 400),
            ("POST", BOOKMARKS.to_owned(), Some(json!({ "community_id": "twitch:ann" })), 400),
            (
                "POST",
                BOOKMARKS.to_owned(),
                Some(json!({ "community_id": "twitch:no", "url": "https://a.example/" })),
                404,
            ),
            ("GET", format!("{ANN}?limit=0"), None, 400),
            ("GET", format!("{ANN}/popular?limit=101"), None, 400),
            ("GET", format!("{ANN}/tags?offset=100001"), None, 400),
            ("GET", format!("{ANN}/1"), None, 404),
            ("GET", format!("{ANN}/one"), None, 404),
            ("GET", format!("{BOOKMARKS}/twitch:no/stats"), None, 404),
            ("PUT", format!("{ANN}/1"), Some(json!({ "url": "https://example.org/" })), 400),
        ] {
            let (given, answer) = node.call(method, &path, body).await;
            assert_eq!(given, want, "{method} {path}: {answer}");
        }
    }
}
