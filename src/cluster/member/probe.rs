//! Dials a node that may be dead. Only its machine's own word counts, that nobody listens there.

use std::io;
use std::time::Duration;

use membership::{Incarnation, Input};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_millis(200);

/// Dials once and tells what came of it.
pub(super) fn dial(incarnation: Incarnation, address: String, inputs: mpsc::Sender<Input>) {
    let dialled = async move {
        let answer = tokio::time::timeout(LIMIT, TcpStream::connect(&address)).await;
        let refused = matches!(answer, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused);
        // A machine that ended does not want to know.
        drop(inputs.send(Input::Probed { incarnation, refused }).await);
    };
    #[expect(clippy::disallowed_methods, reason = "ends within its limit")]
    tokio::spawn(dialled);
}
