//! A bot of one screen over twitch-irc's own client: what a streamer would write, to compare with.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;
use twitch_irc::login::StaticLoginCredentials;
use twitch_irc::message::ServerMessage;
use twitch_irc::transport::tcp::{MakeConnection, TCPTransport, TCPTransportConnectError};
use twitch_irc::{ClientConfig, TwitchIRCClient};

use crate::arguments::Target;
use crate::subject::{CHANNELS_PER_CONNECTION, LOGIN, TOKEN, channel_login};

static TARGET: OnceLock<Target> = OnceLock::new();

/// Leads the client to the fake.
struct ToFake;

#[async_trait]
impl MakeConnection for ToFake {
    type Socket = TcpStream;

    async fn new_socket() -> Result<TcpStream, TCPTransportConnectError> {
        let target = TARGET.get().expect("it is set before the client is made");
        let socket = TcpStream::connect(target.address).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

/// Joins, answers `!echo` in each channel, and ends when it is killed.
pub(crate) async fn run(target: Target) -> io::Result<()> {
    TARGET.get_or_init(|| target);
    let credentials = StaticLoginCredentials::new(LOGIN.to_owned(), Some(TOKEN.to_owned()));
    let config = ClientConfig {
        max_channels_per_connection: CHANNELS_PER_CONNECTION,
        // It opens no more connections for sending: the bot beside it has none either.
        time_per_message: Duration::ZERO,
        new_connection_every: Duration::from_millis(1),
        ..ClientConfig::new_simple(credentials)
    };
    let (mut messages, client) = TwitchIRCClient::<TCPTransport<ToFake>, _>::new(config);
    for index in 0..target.n_channels {
        client.join(channel_login(index)).map_err(io::Error::other)?;
    }
    println!("ready: {} channels", target.n_channels);
    while let Some(message) = messages.recv().await {
        if let ServerMessage::Privmsg(line) = message
            && let Some(query) = line.message_text.strip_prefix("!echo ")
        {
            client.say(line.channel_login, query.to_owned()).await.map_err(io::Error::other)?;
        }
    }
    Ok(())
}
