//! Faults on demand, and changes while it runs.

use std::sync::Arc;

use crate::config::{Account, Show};
use crate::connection::Connection;
use crate::http::HttpMode;
use crate::server::FakeTwitch;

impl FakeTwitch {
    fn connections(&self) -> Vec<Arc<Connection>> {
        self.world().state().connections.values().map(Arc::clone).collect()
    }

    /// Tells every client to reconnect; like Twitch, it closes nothing by itself.
    pub fn reconnect(&self) {
        self.raw_to_all(b":tmi.twitch.tv RECONNECT\r\n");
    }

    /// Sends PING to every client; the answers are counted as `pongs`.
    pub fn ping_all(&self) {
        self.raw_to_all(b"PING :tmi.twitch.tv\r\n");
    }

    /// Closes every connection at once, without a word.
    pub fn cut_all(&self) {
        self.connections().iter().for_each(|connection| connection.cut());
    }

    /// Closes the connections that joined the channel; returns how many.
    pub fn cut_channel(&self, channel_login: &str) -> usize {
        let mut state = self.world().state();
        let joined = &state.channel(channel_login).joined;
        for connection in joined {
            connection.cut();
        }
        joined.len()
    }

    /// Half-open: sockets stay open, nothing is answered or delivered, on present and on new connections.
    pub fn silence(&self, silent: bool) {
        self.world().state().silent = silent;
        self.silence_present(silent);
    }

    /// As `silence`, but new connections work: what a bot that notices finds when it reconnects.
    pub fn silence_present(&self, silent: bool) {
        self.connections().iter().for_each(|connection| connection.set_silent(silent));
    }

    /// Stops reading from all present and new sockets, so that the bot's writes pile up; `false` ends it.
    pub fn stall(&self, stalled: bool) {
        self.world().state().stalled = stalled;
        self.connections().iter().for_each(|connection| connection.set_stalled(stalled));
    }

    /// Stops reading from the connections that joined the channel; `false` ends it.
    pub fn stall_channel(&self, channel_login: &str, stalled: bool) {
        let mut state = self.world().state();
        state.channel(channel_login).joined.iter().for_each(|connection| connection.set_stalled(stalled));
    }

    /// Makes every account a moderator of the channel or an ordinary user; clients learn it with the next USERSTATE.
    pub fn set_moderator(&self, channel_login: &str, moderator: bool) {
        let mut state = self.world().state();
        if moderator {
            state.moderator_in.insert(channel_login.to_owned());
        } else {
            state.moderator_in.remove(channel_login);
        }
    }

    /// Lets another account log in.
    pub fn add_account(&self, account: Account) {
        self.world().state().accounts.push(account);
    }

    /// Makes the account's access token invalid: its next login and `/validate` fail until it is refreshed.
    pub fn revoke_token(&self, login: &str) {
        let mut state = self.world().state();
        let serial = state.next_token();
        for account in state.accounts.iter_mut().filter(|account| account.login == login) {
            account.token = format!("revoked-{serial}");
        }
    }

    /// The account as it stands, with refreshed tokens; `None`: there is none of that login.
    pub fn account(&self, login: &str) -> Option<Account> {
        self.world().state().accounts.iter().find(|account| account.login == login).cloned()
    }

    /// Says what somebody streams, or streamed last.
    pub fn set_show(&self, login: &str, show: Show) {
        self.world().state().shows.insert(login.to_owned(), show);
    }

    /// Makes every token of the application invalid.
    pub fn revoke_app_tokens(&self) {
        self.world().state().app_tokens.clear();
    }

    /// Changes how the HTTP side answers.
    pub fn set_http_mode(&self, mode: HttpMode) {
        self.world().state().http_mode = mode;
    }
}
