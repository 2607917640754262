//! A door between nodes and their database: shut, nothing passes and what stood is cut.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub struct Door {
    /// The database's address through the door.
    pub url: String,
    state: Arc<State>,
    /// Ends with the door.
    _tasks: JoinSet<()>,
}

struct State {
    is_open: AtomicBool,
    shut: Notify,
    /// Folder of the server's socket. `None`: it listens on `server`.
    folder: Option<String>,
    server: (String, u16),
}

impl Door {
    /// Opens a door to the database of that address.
    pub async fn new(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let behind = url::Url::parse(url).expect("an address");
        let folder = behind.query_pairs().find(|(name, _)| name == "host").map(|(_, host)| host.into_owned());
        let server = (behind.host_str().unwrap_or("127.0.0.1").to_owned(), behind.port().unwrap_or(5432));
        let mut through = behind;
        through.set_query(None);
        through.set_host(Some("127.0.0.1")).expect("a host");
        through.set_port(Some(address.port())).expect("a port");
        let is_open = AtomicBool::new(true);
        let state = Arc::new(State { is_open, shut: Notify::new(), folder, server });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&state)));
        Self { url: through.to_string(), state, _tasks: tasks }
    }

    pub fn shut(&self) {
        self.state.is_open.store(false, Ordering::SeqCst);
        self.state.shut.notify_waiters();
    }

    pub fn open(&self) {
        self.state.is_open.store(true, Ordering::SeqCst);
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut callers = JoinSet::new();
    while let Ok((caller, _)) = listener.accept().await {
        if state.is_open.load(Ordering::SeqCst) {
            let state = Arc::clone(&state);
            callers.spawn(async move {
                tokio::select! {
                    // Either side closed.
                    _ = pass(caller, &state) => {}
                    () = state.shut.notified() => {}
                }
            });
        }
    }
}

async fn pass(mut caller: TcpStream, state: &State) -> io::Result<(u64, u64)> {
    if let Some(folder) = &state.folder {
        let mut there = UnixStream::connect(format!("{folder}/.s.PGSQL.5432")).await?;
        return tokio::io::copy_bidirectional(&mut caller, &mut there).await;
    }
    let mut there = TcpStream::connect(state.server.clone()).await?;
    tokio::io::copy_bidirectional(&mut caller, &mut there).await
}
