//! The first screen: what runs, where, what to type next, how to stop.

use crate::config::Config;
use crate::supervision::Node;

/// At most twelve lines for somebody who sees the bot for the first time.
pub fn welcome(node: &Node, config: &Config) -> String {
    let storage = node.services.db.kind().as_str();
    let data_dir = node.data_dir.display();
    format!(
        "waddlebot {version} runs: node {id}, {storage} in {data_dir}, log in {data_dir}/waddlebot.log\n\
         Web: http://{address}\n\
         \n\
         This terminal is the channel console:local and you are its owner. Type:\n\
         \x20 !ping                         the bot answers\n\
         \x20 !addcom !hi Hello $(user)     adds a command; then type !hi\n\
         \x20 @ann !hi                      what a viewer called ann would see\n\
         \x20 !quote add @ann I like ducks  keeps what ann said; then type !quote\n\
         \n\
         For Twitch set three things and start again: WADDLEBOT_PLATFORMS__TWITCH__CHANNELS=yourchannel,\n\
         WADDLEBOT_PLATFORMS__TWITCH__BOT_LOGIN and WADDLEBOT_PLATFORMS__TWITCH__BOT_TOKEN (README: \"Twitch\").\n\
         To stop: Ctrl-C.\n",
        version = env!("CARGO_PKG_VERSION"),
        id = config.node.id,
        address = node.address,
    )
}

/// The one line for whoever started the node without a terminal.
pub fn ready(node: &Node, config: &Config) -> String {
    format!(
        "ready: node {}, http://{}, {} channels",
        config.node.id,
        node.address,
        node.services.directory.len()
    )
}
