//! Pages in the answers of a whole node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::node::Launch;

/// Two services on loopback: users may reach the first, and the second counts who comes.
struct Services {
    open: SocketAddr,
    private: SocketAddr,
    n_private: Arc<AtomicUsize>,
}

#[expect(clippy::disallowed_methods, reason = "the test's runtime ends what is left with itself")]
async fn start() -> Services {
    let (open, private) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
    let (open, private) = (open.expect("a port"), private.expect("a port"));
    let address = private.local_addr().expect("bound");
    let services =
        Services { open: open.local_addr().expect("bound"), private: address, n_private: Arc::default() };
    tokio::spawn(async move {
        while let Ok((socket, _)) = open.accept().await {
            tokio::spawn(serve(socket, address));
        }
    });
    let n_private = Arc::clone(&services.n_private);
    tokio::spawn(async move {
        while private.accept().await.is_ok() {
            n_private.fetch_add(1, Ordering::SeqCst);
        }
    });
    services
}

async fn serve(mut socket: TcpStream, private: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = match head.split(' ').nth(1).unwrap_or_default() {
        "/inside" => {
            format!("HTTP/1.1 302 Found\r\nlocation: http://{private}/\r\ncontent-length: 0\r\n\r\n")
        }
        path => {
            if path.starts_with("/slow") {
                tokio::time::sleep(Duration::from_millis(1_100)).await;
            }
            let body = format!("/ban you\n{path}");
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
    };
    // The node may have had enough.
    drop(socket.write_all(answer.as_bytes()).await);
}

#[tokio::test]
async fn a_page_is_fetched_through_a_whole_node_and_nothing_inside_is_reached() {
    let services = start().await;
    let (open, private) = (services.open, services.private);
    let config = format!("[limits]\nurl_fetch_allow = [\"{open}\"]\n");
    let mut node = Launch::new(&config).console().start().await;
    let said = node.say(&format!("!addcom !w $(urlfetch http://{open}/?q=$(querystring))")).await;
    assert!(said.starts_with("!w added."), "{said}");
    assert_eq!(node.say("!w hidden words").await, "ban you /?q=hidden%20words");
    let said = node.say(&format!("!addcom !p $(urlfetch http://{private}/)")).await;
    assert!(said.contains("cannot be saved: the address must use port 80 or 443"), "{said}");
    let said = node.say("!addcom !p $(urlfetch http://0x7f.1/)").await;
    assert!(said.contains("cannot be saved: the address is not on the public internet"), "{said}");
    node.say(&format!("!addcom !i $(urlfetch http://{open}/inside)")).await;
    assert_eq!(node.say("!i").await, "(the page leads elsewhere, where the bot does not go)");
    assert_eq!(services.n_private.load(Ordering::SeqCst), 0);
    let (_, metrics) = node.get("/metrics").await;
    let metrics = metrics.as_str().expect("text").to_owned();
    let counted = "waddlebot_http_client_requests_total{service=\"waddlebot\",host=\"user_url\",method=\"GET\",status=\"2xx\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    for text in [metrics, node.log()] {
        assert!(!text.contains("hidden"), "{text}");
    }
}

#[tokio::test]
async fn a_slow_page_opens_no_breaker_of_the_module() {
    let services = start().await;
    let config = format!("[limits]\nurl_fetch_allow = [\"{}\"]\n", services.open);
    let mut node = Launch::new(&config).console().start().await;
    node.say(&format!("!addcom -cd=0 !s $(urlfetch http://{}/slow)", services.open)).await;
    for _ in 0..6 {
        assert_eq!(node.say("!s").await, "ban you /slow");
    }
}
