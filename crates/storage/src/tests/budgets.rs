use std::time::Duration;

use domain::{BudgetTerms, SliceUse};
use ulid::Ulid;

use super::write;
use crate::budgets::{BudgetAsk, book};
use crate::db::on;
use crate::testing::on_both;
use crate::{Db, StorageError};

const TERMS: BudgetTerms =
    BudgetTerms { slots: 20, window: Duration::from_secs(30), life: Duration::from_secs(5) };

fn ask(n: u32, uses: Vec<SliceUse>) -> BudgetAsk {
    BudgetAsk { resource: "send", terms: TERMS, slice: Ulid::new(), n, uses }
}

async fn booked(db: &Db, account: &str, ask: BudgetAsk) -> u32 {
    loop {
        match book(db, account, std::slice::from_ref(&ask)).await {
            Ok(answers) => return answers[0].n,
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn whoever_books_at_once_no_more_is_given_than_there_is() {
    on_both(|db| async move {
        let asks = (0..12).map(|_| booked(&db, "twitch:bot", ask(3, Vec::new())));
        let given = futures_util::future::join_all(asks).await;
        assert_eq!(given.iter().sum::<u32>(), 20, "{given:?}");
        assert_eq!(booked(&db, "twitch:bot", ask(1, Vec::new())).await, 0, "also for a newcomer");
        assert_eq!(booked(&db, "twitch:other", ask(1, Vec::new())).await, 1, "accounts are apart");
    })
    .await;
}

#[tokio::test]
async fn what_a_holder_gives_back_is_booked_again_and_what_it_used_is_not() {
    on_both(|db| async move {
        let first = ask(20, Vec::new());
        assert_eq!(booked(&db, "twitch:bot", first.clone()).await, 20);
        let given_back = SliceUse { slice: first.slice, n_used: 7, age: Duration::ZERO };
        let asks = [ask(0, vec![given_back]), BudgetAsk { resource: "join", ..ask(2, Vec::new()) }];
        let answers = book(&db, "twitch:bot", &asks).await.unwrap();
        assert_eq!((answers[0].n, answers[1].n), (0, 2));
        let answers = book(&db, "twitch:bot", &[ask(20, Vec::new())]).await.unwrap();
        assert_eq!(answers[0].n, 13);
        let wait = answers[0].retry_after.unwrap();
        assert!(
            wait > Duration::from_secs(20) && wait <= TERMS.window,
            "the database's clock says when: {wait:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_gives_nothing() {
    const SPOIL: crate::Statement =
        crate::db::sql!("update", "budgets", "UPDATE budgets SET booked = 'x' WHERE account = $1");
    on_both(|db| async move {
        booked(&db, "twitch:bot", ask(1, Vec::new())).await;
        write(&db, async |tx| on!(tx, &SPOIL, execute, "twitch:bot")).await.unwrap();
        let refused = book(&db, "twitch:bot", &[ask(1, Vec::new())]).await;
        assert!(matches!(refused, Err(StorageError::Invalid { .. })), "{refused:?}");
    })
    .await;
}
