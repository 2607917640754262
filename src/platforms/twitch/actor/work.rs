//! What the actor does about each thing it is told.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use domain::{ChannelId, Platform};
use metrics::gauge;
use storage::{Db, StorageError};
use tokio::sync::mpsc;

use super::{Identity, State};
use crate::cluster::ChannelSlot;
use crate::messages::{EventRecord, PlatformReport, What};
use crate::platforms::twitch::connection::{self, ConnectionId, End, Login, ORDERS_MAX, Order, Start};
use crate::platforms::twitch::credentials::TokenNews;
use crate::platforms::twitch::intake::News;
use crate::platforms::twitch::joins::Seat;
use crate::platforms::twitch::notices;
use crate::platforms::twitch::outlet::Outlet;

/// Platform ids that are stored in one commit.
const IDS_PER_COMMIT: usize = 100;

impl State {
    /// Does what is due: connections, JOINs, ids to be stored.
    pub(super) fn tick(&mut self) {
        if self.deps.stop_reading.is_cancelled() {
            return;
        }
        let now = Instant::now();
        self.open_connections(now);
        self.send_joins(now);
        self.fleet.close_retired(|connection| self.joins.n_on(connection) == 0, now);
        self.store_learned();
    }

    fn open_connections(&mut self, now: Instant) {
        let Identity::Known(login) = self.identity.clone() else { return };
        self.fleet.resize(self.joins.len().div_ceil(self.settings.channels_per_connection), now);
        while let Some(place) = self.fleet.take_due(now) {
            self.open(place, login.clone());
        }
    }

    fn open(&mut self, place: usize, login: Login) {
        let outlet = Arc::new(Outlet::default());
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let id = self.fleet.open(place, Arc::clone(&outlet), orders);
        self.deps.tasks.spawn(connection::run(Start {
            id,
            settings: Arc::clone(&self.settings),
            trust: self.trust.clone(),
            login,
            outlet,
            orders: taken,
            actor: self.myself.clone(),
            directory: Arc::clone(&self.deps.directory),
            clock: self.deps.clock.clone(),
            stop_reading: self.deps.stop_reading.clone(),
            killed: self.closed.clone(),
        }));
    }

    fn send_joins(&mut self, now: Instant) {
        let per_connection = self.settings.channels_per_connection;
        let seats: Vec<Seat> = self
            .fleet
            .open_lines()
            .map(|(id, _)| Seat { connection: id, room: per_connection.saturating_sub(self.joins.n_on(id)) })
            .collect();
        let plan = self.joins.plan(&seats, now);
        for (connection, logins) in self.joins.take_leaving() {
            self.order(connection, Order::Leave(logins));
        }
        for (id, channels) in plan {
            let handles = channels.iter().filter_map(|channel| self.handles.get(channel).cloned()).collect();
            let is_taken =
                self.fleet.get(id).is_some_and(|line| line.orders.try_send(Order::Join(handles)).is_ok());
            if !is_taken {
                self.joins.not_sent(id, &channels);
            }
        }
    }

    /// Gives a connection an order. One that takes none is stuck: it is replaced, and what it still reads of channels that
    /// it should have left is nobody's.
    pub(super) fn order(&mut self, connection: ConnectionId, order: Order) {
        let Some(line) = self.fleet.get(connection) else { return };
        if line.orders.try_send(order).is_err() {
            tracing::warn!(connection, "a connection takes no orders and is replaced");
            self.replace_line(connection, Instant::now());
        }
    }

    /// Moves the channels of a connection to a new one, then closes it.
    fn replace_line(&mut self, connection: ConnectionId, now: Instant) {
        self.fleet.retire(connection, now);
        self.joins.retire(connection);
    }

    /// A connection's batch of lines had something for us.
    pub(super) fn news(&mut self, connection: ConnectionId, news: News) {
        let now = Instant::now();
        if let Some(login) = news.logged_in_as {
            self.fleet.ready(connection, now);
            self.troubles.connection = None;
            if self.logged_in_as.as_ref() != Some(&login) {
                tracing::info!(bot.login = login, "logged in to Twitch chat");
            }
            self.logged_in_as = Some(login);
        }
        for slot in &news.joined {
            self.joins.confirmed(slot.id, connection);
            slot.set_heard(true);
            self.close_gap(slot.id);
        }
        if self.joins.n_joined() == self.joins.len() {
            self.troubles.channel = None;
        }
        for (slot, reason, pause) in news.refused {
            self.joins.refused(slot.id, connection, now + pause);
            let sentence = format!("cannot join {}: {} ({reason})", slot.key(), notices::advice(reason));
            self.troubles.channel = Some(sentence);
        }
        self.learned.extend(news.learned);
        if news.wants_reconnect {
            tracing::info!(connection, "Twitch asks for a reconnect");
            self.replace_line(connection, now);
        }
    }

    /// A connection is over: its channels are joined elsewhere.
    pub(super) fn ended(&mut self, connection: ConnectionId, end: &End) {
        for channel in self.joins.lost(connection) {
            self.open_gap(channel, label(end));
            if let Some(handle) = self.handles.get(&channel) {
                handle.sender.set_route(None);
                handle.slot.set_heard(false);
            }
        }
        let pause = self.fleet.ended(connection, Instant::now());
        let trouble = match end {
            End::Closed => return,
            End::LoginFailed => return self.login_failed(),
            End::Unreachable(error) => {
                format!("Twitch chat cannot be reached at {}: {error}", self.settings.irc_url)
            }
            End::LoginTimedOut => format!("{} does not answer a login", self.settings.irc_url),
            End::Lost(error) => format!("a connection to Twitch chat was lost: {error}"),
            End::Silent => "a connection to Twitch chat fell silent".to_owned(),
            End::Stuck => "a connection to Twitch chat takes nothing more".to_owned(),
            End::Crashed => "the task of a connection to Twitch chat panicked".to_owned(),
        };
        let retry_ms = pause.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        tracing::warn!(connection, retry_ms, "{trouble}");
        metrics::counter!("waddlebot_connections_lost_total", "platform" => "twitch", "reason" => label(end))
            .increment(1);
        self.troubles.connection = Some(trouble);
    }

    /// Whoever asks later why nothing came is told: from now on the channel is not read.
    fn open_gap(&mut self, channel_id: ChannelId, reason: &'static str) {
        let from = self.deps.clock.now();
        if let Entry::Vacant(gap) = self.gaps.entry(channel_id) {
            gap.insert((from, reason));
            self.note_gap(channel_id, What::Gap { from, to: None, reason: reason.into() });
        }
    }

    fn close_gap(&mut self, channel_id: ChannelId) {
        if let Some((from, reason)) = self.gaps.remove(&channel_id) {
            let to = Some(self.deps.clock.now());
            self.note_gap(channel_id, What::Gap { from, to, reason: reason.into() });
        }
    }

    fn note_gap(&self, channel_id: ChannelId, gap: What) {
        self.deps.directory.recorder().note(EventRecord::about(Some(channel_id), gap));
    }

    /// Chat refused the token: nobody logs in before it was looked at.
    fn login_failed(&mut self) {
        match std::mem::replace(&mut self.identity, Identity::Unknown) {
            Identity::Known(login) | Identity::Doubted(login) if login.token.is_some() => {
                self.troubles.connection = Some("Twitch chat refused the login".to_owned());
                self.identity = Identity::Doubted(login);
                self.doubt.notify_one();
            }
            other => self.identity = other,
        }
    }

    pub(super) fn token(&mut self, news: TokenNews) {
        match news {
            TokenNews::Use(login) => {
                if let Some(booked) = &self.booked {
                    booked.serve(format!("twitch:{}", login.nick));
                }
                self.identity = Identity::Known(login);
            }
            TokenNews::Good { trouble } => {
                self.troubles.token = trouble;
                self.trust_again();
            }
            TokenNews::Unsure(trouble) => {
                self.troubles.token = Some(trouble);
                self.trust_again();
            }
            TokenNews::Refused(trouble) => {
                self.identity = Identity::Refused;
                self.troubles.token = Some(trouble);
                self.logged_in_as = None;
                self.fleet.finish_all();
            }
        }
    }

    /// The token was looked at and is not known to be bad: the back-off alone says when it is tried again.
    fn trust_again(&mut self) {
        match std::mem::replace(&mut self.identity, Identity::Unknown) {
            Identity::Doubted(login) => self.identity = Identity::Known(login),
            other => self.identity = other,
        }
    }

    /// Tells directory and storage what the platform calls its channels.
    fn store_learned(&mut self) {
        if self.learned.is_empty() {
            return;
        }
        let learned = std::mem::take(&mut self.learned);
        self.deps.directory.learn_platform_ids(&learned);
        let (db, now) = (self.deps.db.clone(), self.deps.clock.now());
        self.deps.tasks.spawn(async move {
            for chunk in learned.chunks(IDS_PER_COMMIT) {
                if store_ids(&db, chunk, now).await.is_ok() {
                    continue;
                }
                // One of them stands in the way: the others are stored without it.
                for one in chunk {
                    if let Err(error) = store_ids(&db, std::slice::from_ref(one), now).await {
                        tracing::warn!(channel.id = %one.0.id, %error, "the platform id of a channel could not be stored");
                    }
                }
            }
        });
    }

    /// Keeps the board and the gauges current.
    pub(super) fn report(&mut self) {
        let troubles = &self.troubles;
        let first = troubles.token.as_ref().or(troubles.connection.as_ref()).or(troubles.channel.as_ref());
        let report = PlatformReport {
            login: self.logged_in_as.clone().filter(|_| !self.account.is_anonymous),
            connections: self.fleet.n_ready(),
            channels_joined: self.joins.n_joined(),
            channels_pending: self.joins.len() - self.joins.n_joined(),
            trouble: first.cloned(),
        };
        if report != self.report {
            gauge!("waddlebot_connections", "platform" => "twitch").set(report.connections as f64);
            gauge!("waddlebot_channels_joined", "platform" => "twitch").set(report.channels_joined as f64);
            gauge!("waddlebot_rejoin_pending", "platform" => "twitch").set(report.channels_pending as f64);
            let eta = self.settings.joining_time(report.channels_pending);
            gauge!("waddlebot_rejoin_eta_seconds", "platform" => "twitch").set(eta.as_secs_f64());
            self.deps.board.set(Platform::Twitch, report.clone());
            self.report = report;
        }
    }
}

async fn store_ids(
    db: &Db,
    learned: &[(Arc<ChannelSlot>, String)],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let mut tx = db.begin().await?;
    for (slot, platform_id) in learned {
        storage::channels::set_platform_id(&mut tx, slot.id, platform_id, now).await?;
    }
    tx.commit().await
}

const fn label(end: &End) -> &'static str {
    match end {
        End::Closed => "closed",
        End::Unreachable(_) => "unreachable",
        End::LoginFailed => "login_failed",
        End::LoginTimedOut => "login_timed_out",
        End::Lost(_) => "lost",
        End::Silent => "silent",
        End::Stuck => "stuck",
        End::Crashed => "crashed",
    }
}
