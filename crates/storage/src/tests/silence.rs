#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with its runtime")]

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::write;
use crate::db::Pools;
use crate::testing::streaming::eventually;
use crate::testing::{self, TestDatabase};
use crate::{Db, StorageError, StorageOptions};

/// A wire to the test's `PostgreSQL` whose connections fall silent together: nothing is closed and nothing comes.
struct Wire {
    options: StorageOptions,
    silenced: watch::Sender<()>,
}

impl Wire {
    async fn to(test: &TestDatabase) -> Self {
        let server = PgConnectOptions::from_str(&test.url).expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let database = server.get_database().expect("a database");
        let url = format!("postgres://{}@127.0.0.1:{port}/{database}?sslmode=disable", server.get_username());
        let silenced = watch::Sender::new(());
        let hush = silenced.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut silenced = hush.subscribe();
                let mut server = dial(&server).await;
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Kept open: a closed socket would be heard.
                        _ = silenced.changed() => std::future::pending().await,
                    }
                });
            }
        });
        let mut options = StorageOptions::new(url);
        options.max_connections = 1;
        Self { options, silenced }
    }

    /// From now on nothing passes on the connections that are there; new ones work.
    fn fall_silent(&self) {
        self.silenced.send_replace(());
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn dial(server: &PgConnectOptions) -> Box<dyn Stream> {
    let port = server.get_port();
    match server.get_socket() {
        Some(folder) => {
            let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await;
            Box::new(socket.expect("the server answers"))
        }
        None => Box::new(TcpStream::connect((server.get_host(), port)).await.expect("the server answers")),
    }
}

/// Sessions of the database that sleep in a statement.
async fn n_asleep(test: &TestDatabase) -> i64 {
    let Pools::Pg(pool) = test.db.pools() else { panic!("PostgreSQL") };
    let asleep = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event = 'PgSleep'";
    sqlx::query_as::<_, (i64,)>(asleep).fetch_one(&**pool).await.unwrap().0
}

#[tokio::test]
async fn a_commit_on_a_silent_connection_ends_and_its_connection_is_replaced() {
    let test = testing::postgres().await;
    let wire = Wire::to(&test).await;
    let db = Db::open(&wire.options).await.unwrap();
    let tx = db.begin_unit().await.unwrap();
    wire.fall_silent();
    let started = Instant::now();
    assert!(matches!(tx.commit().await, Err(StorageError::Unavailable { .. })));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(db.ping().await, Ok(()), "its only connection is free again");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test]
async fn who_gives_a_silent_server_up_leaves_no_connection_behind() {
    let test = testing::postgres().await;
    let wire = Wire::to(&test).await;
    let db = Db::open(&wire.options).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    wire.fall_silent();
    let started = Instant::now();
    let asked = tokio::time::timeout(Duration::from_millis(50), tx.run("SELECT 1")).await;
    assert!(asked.is_err(), "{asked:?}");
    drop(tx);
    assert_eq!(db.ping().await, Ok(()));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_any_more_is_stopped_at_the_server() {
    let test = testing::postgres().await;
    let db = Db::open(&StorageOptions::new(&test.url)).await.unwrap();
    let sleeping =
        tokio::spawn(async move { write(&db, async |tx| tx.run_script("SELECT pg_sleep(20)").await).await });
    eventually("the server works on it", async || n_asleep(&test).await == 1).await;
    sleeping.abort();
    let started = Instant::now();
    eventually("the server has stopped it", async || n_asleep(&test).await == 0).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
