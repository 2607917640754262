use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::node::{KEY, TestNode};

#[tokio::test]
async fn a_client_that_never_ends_its_header_is_cut_off() {
    let node = TestNode::start().await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(15), socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up_with_an_answer() {
    let node = TestNode::start().await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    let head = format!(
        "POST /api/v1/router/events HTTP/1.1\r\nHost: x\r\nX-Service-Key: {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(15), socket.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is still open");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("x-request-id: "), "{answer}");
}

#[tokio::test]
async fn the_hub_stops_within_five_seconds_although_a_client_holds_on() {
    let node = TestNode::start().await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    node.stop.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(7), node.running).await;
    stopped.expect("the hub stops in time").unwrap().unwrap();
    assert!(TcpStream::connect(node.address).await.is_err(), "the port is closed");
}
