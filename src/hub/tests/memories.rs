use serde_json::{Value, json};

use super::node::{KEY, TestNode};

const QUOTES: &str = "/api/v1/memories/quotes";
const ANN: &str = "/api/v1/memories/quotes/twitch:ann";

/// A call in the name of `user`.
async fn act(node: &TestNode, user: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = node.request(method, path).header("X-Service-Key", KEY).header("X-Acting-User", user);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn quote(text: &str) -> Value {
    json!({ "community_id": "twitch:ann", "quote_text": text, "author_username": "Bob", "category": "Fun" })
}

#[tokio::test]
async fn quotes_are_kept_listed_searched_shown_drawn_and_counted() {
    for node in TestNode::start_on_both().await {
        let (status, none) = node.call("GET", &format!("{ANN}/random"), None).await;
        assert_eq!(status, 404, "{none}");
        let (status, kept) = act(&node, "twitch:7", "POST", QUOTES, Some(quote("I love\ncake"))).await;
        assert_eq!(status, 201, "{kept}");
        let data = &kept["data"];
        assert_eq!(
            (&data["id"], &data["quote_text"], &data["category"], &data["created_by"]),
            (&json!(1), &json!("I love cake"), &json!("fun"), &json!("twitch:7"))
        );
        node.call("POST", QUOTES, Some(json!({ "community_id": "twitch:ann", "quote_text": "pie" }))).await;
        let community = node.slot().community_id.to_string();
        let (_, listed) = node.call("GET", &format!("{QUOTES}/{community}?limit=1"), None).await;
        assert_eq!(listed["data"]["items"][0]["quote_text"], "pie");
        let (_, next) = node.call("GET", &format!("{ANN}?limit=1&offset=1"), None).await;
        assert_eq!(next["data"]["items"][0]["quote_text"], "I love cake");
        for (query, n) in
            [("search_query=CAKE%20bob", 1), ("search_query=%22*", 0), ("category=fun", 1), ("author=bob", 1)]
        {
            let (status, found) = node.call("GET", &format!("{ANN}?{query}"), None).await;
            assert_eq!(
                (status, found["data"]["items"].as_array().unwrap().len()),
                (200, n),
                "{query}: {found}"
            );
        }
        assert_eq!(node.call("GET", &format!("{ANN}/1"), None).await.1["data"]["author_username"], "Bob");
        assert_eq!(node.call("GET", &format!("{ANN}/random"), None).await.0, 200);
        let (_, categories) = node.call("GET", &format!("{ANN}/categories"), None).await;
        assert_eq!(categories["data"]["items"], json!([{ "category": "fun", "count": 1 }]));
        let (_, figures) = node.call("GET", &format!("{ANN}/stats"), None).await;
        assert_eq!((&figures["data"]["total_quotes"], &figures["data"]["last_id"]), (&json!(2), &json!(2)));
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_quote_is_named_at_once() {
    for node in TestNode::start_on_both().await {
        let long = "x".repeat(101);
        let body = json!({ "community_id": "twitch:ann", "quote_text": " \n", "author_username": long, "category": long });
        let (status, wrong) = node.call("POST", QUOTES, Some(body)).await;
        let details = wrong["error"]["details"].as_object().unwrap();
        assert_eq!((status, details.len()), (400, 3), "{wrong}");
        assert_eq!(details["quote_text"], "must have 1 to 5000 characters");
        let (status, wrong) = node.call("GET", &format!("{ANN}?limit=0&offset=100001"), None).await;
        assert_eq!((status, wrong["error"]["details"].as_object().unwrap().len()), (400, 2), "{wrong}");
        let unknown = json!({ "community_id": "twitch:ann", "quote_text": "x", "created_by": "twitch:1" });
        for (method, path, body, status) in [
            ("POST", QUOTES.to_owned(), Some(unknown), 400),
            ("POST", QUOTES.to_owned(), Some(json!({ "community_id": "ann", "quote_text": "x" })), 400),
            (
                "POST",
                QUOTES.to_owned(),
                Some(json!({ "community_id": "twitch:nobody", "quote_text": "x" })),
                404,
            ),
            ("GET", format!("{QUOTES}/01ARZ3NDEKTSV4RRFFQ69G5FAV"), None, 404),
            ("GET", format!("{ANN}/1"), None, 404),
            ("GET", format!("{ANN}/one"), None, 404),
            ("GET", format!("{ANN}?sort=x"), None, 400),
            ("DELETE", format!("{ANN}/1"), None, 404),
        ] {
            let (given, answer) = node.call(method, &path, body).await;
            assert_eq!(given, status, "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_quote_is_deleted_by_its_creator_or_the_service_and_by_nobody_else() {
    for node in TestNode::start_on_both().await {
        for _ in 0..2 {
            act(&node, "twitch:7", "POST", QUOTES, Some(quote("mine"))).await;
        }
        let (status, refused) = act(&node, "twitch:8", "DELETE", &format!("{ANN}/1"), None).await;
        assert_eq!((status, &refused["error"]["code"]), (403, &json!("forbidden")), "{refused}");
        assert_eq!(act(&node, "7", "DELETE", &format!("{ANN}/1"), None).await.0, 400);
        assert_eq!(act(&node, "twitch:7", "DELETE", &format!("{ANN}/1"), None).await.0, 200);
        assert_eq!(act(&node, "twitch:7", "DELETE", &format!("{ANN}/1"), None).await.0, 404);
        assert_eq!(node.call("DELETE", &format!("{ANN}/2"), None).await.0, 200);
        let (_, audit) = node.call("GET", "/api/v1/audit?limit=2", None).await;
        let lines = audit["data"]["items"].as_array().unwrap();
        assert_eq!((&lines[0]["actor"], &lines[0]["action"]), (&json!("service"), &json!("quote.remove")));
        assert_eq!((&lines[1]["actor"], &lines[1]["target"]), (&json!("twitch:7"), &json!("1")));
    }
}

#[tokio::test]
async fn a_user_has_one_vote_which_can_be_switched_and_withdrawn() {
    for node in TestNode::start_on_both().await {
        node.call("POST", QUOTES, Some(quote("x"))).await;
        let vote = async |user: &str, kind: &str| {
            let body = Some(json!({ "vote_type": kind }));
            let (status, answer) = act(&node, user, "POST", &format!("{ANN}/1/vote"), body).await;
            assert_eq!(status, 200, "{answer}");
            answer["data"].clone()
        };
        vote("twitch:1", "up").await;
        vote("twitch:2", "upvote").await;
        assert_eq!(vote("twitch:1", "downvote").await, json!({ "votes": 0, "upvotes": 1, "downvotes": 1 }));
        assert_eq!(vote("twitch:1", "none").await, json!({ "votes": 1, "upvotes": 1, "downvotes": 0 }));
        let path = format!("{ANN}/1/vote");
        assert_eq!(node.call("POST", &path, Some(json!({ "vote_type": "up" }))).await.0, 400, "nobody votes");
        assert_eq!(act(&node, "twitch:1", "POST", &path, Some(json!({ "vote_type": "left" }))).await.0, 400);
        let gone = format!("{ANN}/2/vote");
        assert_eq!(act(&node, "twitch:1", "POST", &gone, Some(json!({ "vote_type": "up" }))).await.0, 404);
    }
}
