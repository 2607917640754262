//! What happened, as plain numbers.

/// Counts since the start. A correct bot leaves every field of the second half at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub connections: u64,
    pub logins: u64,
    /// JOINs that were granted, repeats included.
    pub joins: u64,
    pub parts: u64,
    /// Lines of the bot that were accepted.
    pub sends: u64,
    /// PINGs that clients sent, and were answered.
    pub pings: u64,
    /// Answers to the fake's own PINGs.
    pub pongs: u64,
    /// Connections that ended, whoever ended them.
    pub disconnects: u64,
    /// Chat lines handed to connections, but for those of a `Feed`.
    pub lines_out: u64,
    /// Chat lines for a channel that nobody had joined.
    pub undelivered: u64,
    /// Chat lines dropped because a client did not read.
    pub lines_dropped: u64,
    /// HTTP calls, however they were answered.
    pub http_calls: u64,
    /// Tokens that the application was given.
    pub app_tokens: u64,

    pub login_failures: u64,
    pub auths_over: u64,
    pub joins_over: u64,
    /// Lines over the 20 or 100 in 30 s of the account.
    pub sends_over_limit: u64,
    /// Lines too soon after the last one in their channel.
    pub sends_over_interval: u64,
    pub duplicates: u64,
    /// Lines over 500 characters.
    pub too_long: u64,
    /// Lines to a channel that the account has not joined.
    pub sends_not_joined: u64,
    pub sends_anonymous: u64,
    /// Lines that began like a chat command (`/ban`, `.mod`); Twitch takes none over IRC, except `/me`.
    pub chat_commands: u64,
    pub unknown_commands: u64,
    /// Client lines that were no IRC, not UTF-8, or too long; the last end the connection.
    pub malformed: u64,
}

impl Counters {
    /// Lines of the bot that Twitch would not have shown.
    pub fn sends_refused(&self) -> u64 {
        self.sends_over_limit
            + self.sends_over_interval
            + self.duplicates
            + self.too_long
            + self.sends_not_joined
            + self.sends_anonymous
            + self.chat_commands
    }
}
