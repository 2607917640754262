use domain::CommunityId;

use super::{new_channel, write};
use crate::bookmarks::{self, Added, Bookmark, BookmarkFilter, NewBookmark, Rewrite};
use crate::testing::{on_both, start_of_tests};
use crate::{Db, StorageError};

fn page(name: &str, title: &str, tags: &[&str]) -> NewBookmark {
    NewBookmark {
        url: format!("https://example.org/{name}"),
        url_key: format!("example.org/{name}"),
        title: title.into(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        created_by: "twitch:1".into(),
        ..NewBookmark::default()
    }
}

async fn add(db: &Db, community: CommunityId, new: NewBookmark) -> Added {
    write(db, async |tx| bookmarks::add(tx, community, &new, start_of_tests()).await).await.unwrap()
}

async fn listed(db: &Db, community: CommunityId, filter: BookmarkFilter) -> Vec<i64> {
    numbers(bookmarks::list(db, community, &filter, 100, 0).await.unwrap())
}

fn numbers(list: Vec<Bookmark>) -> Vec<i64> {
    list.into_iter().map(|bookmark| bookmark.number).collect()
}

fn words(words: &str) -> BookmarkFilter {
    BookmarkFilter { words: words.into(), ..BookmarkFilter::default() }
}

fn tagged(tags: &[&str]) -> BookmarkFilter {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    BookmarkFilter { tags, ..BookmarkFilter::default() }
}

#[tokio::test]
async fn an_address_is_kept_once_in_a_community() {
    on_both(|db| async move {
        let (ann, bob) =
            (new_channel(&db, "ann").await.community_id, new_channel(&db, "bob").await.community_id);
        assert_eq!(add(&db, ann, page("a", "A", &["food", "fun"])).await, Added::Kept(1));
        assert_eq!(add(&db, ann, page("b", "B", &[])).await, Added::Kept(2));
        assert_eq!(add(&db, ann, page("a", "again", &[])).await, Added::There(1));
        assert_eq!(add(&db, bob, page("a", "A", &[])).await, Added::Kept(1));
        let kept = bookmarks::get(&db, ann, 1).await.unwrap().unwrap();
        assert_eq!((kept.title.as_str(), kept.visits), ("A", 0));
        assert_eq!(kept.tags, ["food", "fun"]);
        let gone = write(&db, async |tx| bookmarks::remove(tx, ann, 1).await).await.unwrap();
        assert_eq!(gone, Some(kept));
        assert_eq!(write(&db, async |tx| bookmarks::remove(tx, ann, 1).await).await.unwrap(), None);
        assert_eq!(add(&db, ann, page("a", "A", &[])).await, Added::Kept(3), "a number is never given again");
    })
    .await;
}

#[tokio::test]
async fn sixteen_that_keep_one_address_at_once_keep_it_once() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        let adds = (0..16).map(|_| add(&db, ann, page("a", "A", &["x"])));
        let added = futures_util::future::join_all(adds).await;
        let n_kept = added.iter().filter(|added| matches!(added, Added::Kept(_))).count();
        assert_eq!((n_kept, listed(&db, ann, tagged(&["x"])).await), (1, vec![1]), "{added:?}");
        let stats = bookmarks::stats(&db, ann).await.unwrap();
        assert_eq!((stats.n_bookmarks, stats.last_number, stats.n_tags), (1, 1, 1));
    })
    .await;
}

#[tokio::test]
async fn they_are_found_by_words_tags_and_creator_on_both_databases() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        add(&db, ann, page("cake", "How to bake", &["food", "guide"])).await;
        add(&db, ann, page("x", "The Cake is a lie", &["games"])).await;
        let of_bob =
            NewBookmark { created_by: "twitch:2".into(), ..page("y", "Speedruns", &["games", "guide"]) };
        add(&db, ann, of_bob).await;
        assert_eq!(listed(&db, ann, BookmarkFilter::default()).await, [3, 2, 1]);
        assert_eq!(listed(&db, ann, words("CAKE")).await, [2, 1], "the title counts more than the address");
        assert_eq!(listed(&db, ann, words("games lie")).await, [2]);
        assert_eq!(listed(&db, ann, words("\"*")).await, Vec::<i64>::new());
        assert_eq!(listed(&db, ann, tagged(&["food", "games"])).await, [3, 2, 1], "any of the tags");
        assert_eq!(listed(&db, ann, tagged(&["nothing"])).await, Vec::<i64>::new());
        let creator = |filter| BookmarkFilter { created_by: "twitch:2".into(), ..filter };
        assert_eq!(listed(&db, ann, creator(BookmarkFilter::default())).await, [3]);
        assert_eq!(listed(&db, ann, creator(tagged(&["guide"]))).await, [3]);
        assert_eq!(listed(&db, ann, creator(words("cake"))).await, Vec::<i64>::new());
        assert_eq!(
            listed(&db, ann, BookmarkFilter { tags: vec!["food".into()], ..words("cake") }).await,
            [1]
        );
        let second = bookmarks::list(&db, ann, &BookmarkFilter::default(), 1, 1).await.unwrap();
        assert_eq!(numbers(second), [2]);
    })
    .await;
}

#[tokio::test]
async fn what_is_rewritten_is_found_by_its_new_words_and_tags_only() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        add(&db, ann, page("a", "Old title", &["old", "both"])).await;
        let change = Rewrite {
            title: Some("New title".into()),
            tags: Some(vec!["both".into(), "new".into()]),
            ..Rewrite::default()
        };
        let changed = write(&db, async |tx| bookmarks::rewrite(tx, ann, 1, change, start_of_tests()).await);
        let changed = changed.await.unwrap().unwrap();
        assert_eq!((changed.title.as_str(), changed.tags.len()), ("New title", 2));
        for (filter, n) in
            [(words("old"), 0), (words("new title"), 1), (tagged(&["old"]), 0), (tagged(&["both"]), 1)]
        {
            assert_eq!(listed(&db, ann, filter.clone()).await.len(), n, "{filter:?}");
        }
        let tags = bookmarks::tags(&db, ann, 10, 0).await.unwrap();
        let tags: Vec<_> = tags.iter().map(|tag| (tag.name.as_str(), tag.n_bookmarks)).collect();
        assert_eq!(tags, [("both", 1), ("new", 1)]);
        let nothing =
            write(&db, async |tx| bookmarks::rewrite(tx, ann, 9, Rewrite::default(), start_of_tests()).await);
        assert_eq!(nothing.await.unwrap(), None);
        write(&db, async |tx| bookmarks::remove(tx, ann, 1).await).await.unwrap();
        assert_eq!(bookmarks::tags(&db, ann, 10, 0).await.unwrap(), []);
        assert_eq!(listed(&db, ann, words("title")).await, Vec::<i64>::new());
    })
    .await;
}

#[tokio::test]
async fn visits_count_and_make_popular() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        for name in ["a", "b", "c"] {
            add(&db, ann, page(name, name, &[])).await;
        }
        let visit =
            async |number| write(&db, async |tx| bookmarks::visit(tx, ann, number).await).await.unwrap();
        let visits = futures_util::future::join_all((0..32).map(|n| visit([2, 2, 3][n % 3]))).await;
        assert!(visits.iter().all(|is_there| *is_there));
        assert!(!visit(9).await);
        let popular = bookmarks::popular(&db, ann, 10).await.unwrap();
        let popular: Vec<_> = popular.iter().map(|bookmark| (bookmark.number, bookmark.visits)).collect();
        assert_eq!(popular, [(2, 22), (3, 10)]);
        assert_eq!(bookmarks::stats(&db, ann).await.unwrap().n_visits, 32);
        write(&db, async |tx| Ok::<_, StorageError>(bookmarks::remove(tx, ann, 2).await?)).await.unwrap();
        let stats = bookmarks::stats(&db, ann).await.unwrap();
        assert_eq!((stats.n_bookmarks, stats.n_visits, stats.last_number), (2, 10, 3));
    })
    .await;
}
