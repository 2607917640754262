use std::time::{Duration, Instant};

use membership::Incarnation;
use secrecy::SecretString;

use super::{LONG_US, Node};
use crate::cluster::{ASK_LIMIT, CONNECT_LIMIT, LeaseConnection, application_name, ask};
use crate::db::Pools;
use crate::testing::streaming::eventually;
use crate::testing::{self, TestDatabase};
use crate::{Db, StorageError, StorageOptions};

/// Everything `sql` says, asked from outside.
async fn says(test: &TestDatabase, sql: &'static str, of: Incarnation) -> Vec<(String,)> {
    let Pools::Pg(pool) = test.db.pools() else { panic!("not PostgreSQL") };
    sqlx::query_as(sql).bind(application_name(of)).fetch_all(&**pool).await.unwrap()
}

const NAMED: &str = "SELECT CAST(pid AS TEXT) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()";

const END: &str = "SELECT CAST(pg_terminate_backend(pid) AS TEXT) FROM pg_stat_activity \
     WHERE application_name = $1 AND datname = current_database()";

#[test]
fn the_name_of_a_session_fits_and_tells_the_incarnation() {
    let name = application_name(Incarnation(u128::MAX));
    assert_eq!(name, format!("waddlebot/{}", "f".repeat(32)));
    assert!(name.len() < 64, "PostgreSQL cuts longer ones");
}

#[tokio::test]
async fn all_sessions_of_a_node_carry_its_incarnation_and_stand_idle_for_a_second_at_most() {
    let test = testing::postgres().await;
    let one = Node::join(&test, 1).await;
    let options = StorageOptions::new(&test.url);
    let options = StorageOptions { incarnation: Some(one.me), max_connections: 1, ..options };
    let db = Db::open(&options).await.unwrap();
    let tx = db.begin().await.unwrap();
    assert_eq!(says(&test, NAMED, one.me).await.len(), 2, "the lease's and the pool's");
    let started = Instant::now();
    eventually("the idle one is ended", async || says(&test, NAMED, one.me).await.len() == 1).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(tx.commit().await.is_err());
}

#[tokio::test]
async fn a_new_session_takes_the_lock_from_the_old_one_of_its_own_incarnation_only() {
    let test = testing::postgres().await;
    let mut old = Node::join(&test, 1).await;
    let mut new = Node::connect(&test, 1).await;
    new.lease.lock().await.unwrap();
    assert!(old.lease.pulse(ASK_LIMIT).await.is_err(), "the old one was ended first");
    assert!(old.lease.is_lost());
    new.renew(LONG_US).await;
    new.lease.lock().await.unwrap();
    let mut other = Node::join(&test, 2).await;
    other.lease.lock().await.unwrap();
    // The halves of an incarnation make its lock, so this one has the lock of the first.
    let mut stranger = Node::connect(&test, 1 << 64).await;
    assert_eq!(stranger.lease.lock().await, Err(StorageError::Busy), "held by another incarnation");
    new.lease.pulse(ASK_LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_session_that_dropped_is_seen_and_never_used_again() {
    let test = testing::postgres().await;
    let mut one = Node::join(&test, 1).await;
    one.lease.pulse(ASK_LIMIT).await.unwrap();
    assert!(!one.lease.is_lost());
    assert_eq!(says(&test, END, one.me).await.len(), 1);
    eventually("it is seen", async || one.lease.pulse(ASK_LIMIT).await.is_err()).await;
    assert!(one.lease.is_lost());
    let look = membership::ask::Ask::Look { me: one.me };
    assert!(matches!(ask(&mut one.lease, &look).await, Err(StorageError::Unavailable { .. })));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://waddlebot@{}/waddlebot", silent.local_addr().unwrap());
    let started = Instant::now();
    let refused = LeaseConnection::connect(&SecretString::from(url), Incarnation(1)).await;
    assert!(matches!(refused, Err(StorageError::Unavailable { .. })), "{refused:?}");
    assert!(started.elapsed() >= CONNECT_LIMIT && started.elapsed() < CONNECT_LIMIT * 10);
}

#[test]
fn it_lives_on_a_thread_of_its_own() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let test = runtime.block_on(testing::postgres());
    let url = SecretString::from(test.url.clone());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut lease = LeaseConnection::connect(&url, Incarnation(1)).await?;
            lease.lock().await
        })
    });
    assert_eq!(thread.join().unwrap(), Ok(()));
}
