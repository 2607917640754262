//! A door between nodes and their database: shut, nothing passes and what stood is cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;

pub struct Door {
    /// The database's address through the door.
    pub url: String,
    is_open: Arc<AtomicBool>,
    shut: Arc<Notify>,
}

impl Door {
    /// Opens a door to the database of that address.
    pub async fn new(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let parsed = url::Url::parse(url).expect("an address");
        let socket = parsed.query_pairs().find(|(name, _)| name == "host").map(|(_, host)| host.into_owned());
        let server = (parsed.host_str().unwrap_or("127.0.0.1").to_owned(), parsed.port().unwrap_or(5432));
        let mut through = parsed.clone();
        through.set_query(None);
        through.set_host(Some("127.0.0.1")).expect("a host");
        through.set_port(Some(address.port())).expect("a port");
        let (is_open, shut) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        let door = Self { url: through.to_string(), is_open: Arc::clone(&is_open), shut: Arc::clone(&shut) };
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                if !is_open.load(Ordering::SeqCst) {
                    continue;
                }
                let (shut, socket, server) = (Arc::clone(&shut), socket.clone(), server.clone());
                tokio::spawn(async move {
                    let passing = async {
                        match socket {
                            Some(folder) => {
                                let mut there =
                                    UnixStream::connect(format!("{folder}/.s.PGSQL.5432")).await?;
                                tokio::io::copy_bidirectional(&mut caller, &mut there).await
                            }
                            None => {
                                let mut there = TcpStream::connect(server).await?;
                                tokio::io::copy_bidirectional(&mut caller, &mut there).await
                            }
                        }
                    };
                    tokio::select! {
                        passed = passing => drop(passed),
                        () = shut.notified() => {}
                    }
                });
            }
        });
        door
    }

    pub fn shut(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        self.shut.notify_waiters();
    }

    pub fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}
