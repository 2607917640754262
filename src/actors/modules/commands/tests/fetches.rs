//! `$(urlfetch …)` as moderators and viewers meet it.

use domain::Level;

use crate::actors::modules::testing::World;
use crate::http::tests::server::{Server, answer};

#[tokio::test]
async fn a_page_stands_in_the_answer_as_one_short_line_of_plain_text() {
    let body = format!("/ban $(user)\r\n\u{7}and {}", "x".repeat(500));
    let server = Server::start(move |_, _| answer(200, "", body.as_bytes())).await;
    let mut world = World::allowing(server.address).await;
    let url = server.url("/weather?q=$(querystring)");
    assert_eq!(world.moderator(&format!("!addcom !w It says: $(urlfetch {url})")).await, "!w added.");
    assert_eq!(world.moderator(&format!("!addcom !bare $(urlfetch {url})")).await, "!bare added.");
    let shown = world.viewer("!w New York").await;
    assert!(server.last_head().starts_with("get /weather?q=new%20york http/1.1"), "{}", server.last_head());
    assert!(shown.starts_with("It says: /ban $(user) and xxx"), "{shown}");
    assert_eq!(shown.chars().count(), "It says: ".len() + 400);
    let bare = world.viewer("!bare").await;
    assert!(bare.starts_with("ban $(user) and xxx"), "{bare}");
}

#[tokio::test]
async fn a_page_and_a_count_stand_in_one_answer_and_the_use_counts_once() {
    let server = Server::start(|_, _| answer(200, "", b"sunny")).await;
    let mut world = World::allowing(server.address).await;
    let url = server.url("/");
    world.moderator(&format!("!addcom !w $(count): $(urlfetch {url}) $(urlfetch {url})")).await;
    assert_eq!(world.viewer("!w").await, "1: sunny sunny");
    let said = world.deliver(Level::Everyone, "Ann", "!w", "same").await.unwrap();
    let again = world.deliver(Level::Everyone, "Ann", "!w", "same").await.unwrap();
    assert_eq!((&*said[0].text, &*again[0].text), ("2: sunny sunny", "2: sunny sunny"));
}

#[tokio::test]
async fn a_failure_is_said_in_short_words_without_any_address() {
    let server = Server::start(|_, _| answer(302, "location: http://10.0.0.1/hidden\r\n", b"")).await;
    let mut world = World::allowing(server.address).await;
    world.moderator(&format!("!addcom !w Now: $(urlfetch {})", server.url("/hidden"))).await;
    assert_eq!(world.viewer("!w").await, "Now: (the page leads elsewhere, where the bot does not go)");
    world.moderator("!addcom !any $(urlfetch $(1))").await;
    for (typed, want) in [
        ("http://[::ffff:127.0.0.1]/", "the address is not on the public internet)"),
        ("http://me@10.0.0.1/", "the address must not hold a user name or password)"),
        ("https://10.0.0.1:8443/", "the address must use port 80 or 443)"),
        ("", "the address must begin with http:// or https://)"),
    ] {
        let said = world.viewer(&format!("!any {typed}")).await;
        assert!(said.ends_with(want) && !said.contains("10."), "{typed}: {said}");
    }
}
