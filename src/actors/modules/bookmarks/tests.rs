//! Bookmarks as chats meet them, and the pages behind them.

use std::sync::Arc;

use domain::{Level, Partition};
use storage::bookmarks::{self, Bookmark};
use storage::queue::Claimed;

use crate::actors::bookmark_pages::BookmarkPages;
use crate::actors::modules::testing::World;
use crate::http::tests::server::{Said, Server, answer};
use crate::queue::{HandleError, Handler};

async fn numbered(world: &World, number: i64) -> Option<Bookmark> {
    bookmarks::get(&world.services.db, world.slot.community_id, number).await.unwrap()
}

/// What the queue's reader does with the page of the bookmark of that number.
async fn read_page(world: &World, number: i64, attempt: i64) -> Result<(), HandleError> {
    let community_id = world.slot.community_id;
    let message_id = format!("{community_id}:{number}");
    let pages = BookmarkPages { services: Arc::clone(&world.services) };
    let body = storage::queue::body_of(&world.services.db, pages.topic(), &message_id).await.unwrap();
    let message = Claimed {
        id: 1,
        topic: pages.topic().to_owned(),
        partition: Partition::default(),
        key: format!("community:{community_id}"),
        message_id,
        body: body.expect("the bookmark and the wish for its page stand together"),
        attempt,
        created_at: world.clock.now(),
    };
    pages.handle(&message).await
}

#[tokio::test]
async fn an_address_is_kept_shown_found_and_removed() {
    for mut world in World::on_both().await {
        assert_eq!(
            world.viewer("!bookmarks").await,
            "There are no bookmarks yet; !bookmark <address> keeps one."
        );
        let kept = world.moderator("!bookmark https://Example.org/Cake/#top Food, #Guide food").await;
        assert_eq!(kept, "Bookmark 1 added; !bookmarks 1 shows it.");
        let again = world.moderator("!bookmark http://example.org/Cake").await;
        assert_eq!(again, "That is bookmark 1 already.");
        assert_eq!(world.viewer("!bookmarks 1").await, "Bookmark 1: https://example.org/Cake/ #food #guide");
        assert_eq!(world.viewer("!bookmarks guide").await, world.viewer("!bookmarks #1").await);
        assert_eq!(world.viewer("!bookmarks pie").await, "No bookmark has these words.");
        world.moderator("!bookmark https://example.org/two").await;
        assert_eq!(
            world.viewer("!bookmarks").await,
            "Bookmarks 2: https://example.org/two, 1: https://example.org/Cake/"
        );
        assert_eq!(world.moderator("!bookmark remove #1").await, "Bookmark 1 removed.");
        assert_eq!(world.moderator("!bookmark remove 1").await, "There is no bookmark 1.");
        assert_eq!(world.viewer("!bookmarks 1").await, "There is no bookmark 1.");
    }
}

#[tokio::test]
async fn addresses_that_lead_inside_are_refused_with_the_reason() {
    for mut world in World::on_both().await {
        for (line, want) in [
            ("!bookmark", "Type !bookmark <address>"),
            ("!bookmark remove", "Type !bookmark <address>"),
            ("!bookmark ftp://example.org/", "must begin with http:// or https://"),
            ("!bookmark http://127.0.0.1/", "not on the public internet"),
            ("!bookmark http://[::1]/", "not on the public internet"),
            ("!bookmark http://169.254.169.254/latest", "not on the public internet"),
            ("!bookmark http://2130706433/", "not on the public internet"),
            ("!bookmark https://user:secret@example.org/", "Not kept"),
            ("!bookmark https://example.org:22/", "Not kept"),
        ] {
            let answer = world.moderator(line).await;
            assert!(answer.contains(want) && !answer.contains("secret"), "{line}: {answer}");
        }
        let many: Vec<String> = (0..21).map(|n| format!("t{n}")).collect();
        let refused = world.moderator(&format!("!bookmark https://example.org/ {}", many.join(" "))).await;
        assert!(refused.contains("at most 20 tags"), "{refused}");
        assert_eq!(numbered(&world, 1).await, None);
    }
}

#[tokio::test]
async fn the_page_gives_a_title_afterwards_and_it_is_only_text() {
    let page =
        b"<title>/ban <b>x</b> &lt;svg onload=alert(1)&gt;</title><meta name=description content='a\n page'>";
    let server = Server::start(|_, _| answer(200, "content-type: text/html\r\n", page)).await;
    let mut world = World::allowing(server.address).await;
    let url = server.url("/page");
    world.moderator(&format!("!bookmark {url}")).await;
    assert_eq!(server.n_requests(), 0, "the answer does not wait for the page");
    read_page(&world, 1, 1).await.unwrap();
    let titled = numbered(&world, 1).await.unwrap();
    assert_eq!(titled.description, "a page");
    let shown = world.viewer("!bookmarks 1").await;
    assert_eq!(shown, format!("Bookmark 1: /ban <b>x</b> <svg onload=alert(1)> – {url}"));
    read_page(&world, 1, 2).await.unwrap();
    assert_eq!(numbered(&world, 1).await.unwrap(), titled, "a second reading changes nothing");
    world.moderator("!bookmark remove 1").await;
    read_page(&world, 1, 3).await.unwrap();
}

#[tokio::test]
async fn a_page_that_does_not_answer_is_asked_three_times_and_the_bookmark_stays() {
    let server = Server::start(|n, _| match n {
        0 => answer(503, "", b""),
        1 => Said::Whole(Vec::new()),
        _ => answer(404, "", b"<title>not here</title>"),
    })
    .await;
    let mut world = World::allowing(server.address).await;
    world.moderator(&format!("!bookmark {}", server.url("/gone"))).await;
    for attempt in [1, 2] {
        let error = read_page(&world, 1, attempt).await.unwrap_err();
        assert!(matches!(error, HandleError::Retry(_)), "{error}");
    }
    assert_eq!(read_page(&world, 1, 3).await, Ok(()), "no dead letter comes of a dead link");
    assert_eq!(numbered(&world, 1).await.unwrap().title, "");
    assert_eq!(world.say(Level::Everyone, "Ann", "!bookmarks").await.len(), 1);
}
