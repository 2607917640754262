//! Everything that a scenario works with: three nodes, their database, their Twitch, the load, the books.

use std::collections::{BTreeMap, HashSet};
use std::io::{Error, Result};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_twitch::{FakeConfig, FakeTwitch};

use super::Plan;
use super::caller::Caller;
use super::ledger::{Judgement, Ledger};
use super::load::Load;
use super::network::{Network, Place};
use super::node::{Node, Setting};
use super::postgres::Postgres;

pub(crate) const N_NODES: usize = 3;
/// Of the platform, for a verified bot.
pub(crate) const JOINS_PER_10S: u32 = 2_000;
const SETTLE_TIMEOUT: Duration = Duration::from_mins(4);
/// Without a move for so long nothing moves any more.
const STILL_FOR: Duration = Duration::from_millis(1_500);
pub(crate) const LOOK_EACH: Duration = Duration::from_millis(20);

pub(crate) struct World {
    pub(crate) load: Load,
    pub(crate) nodes: Vec<Node>,
    pub(crate) setting: Setting,
    pub(crate) caller: Caller,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) fake: Arc<FakeTwitch>,
    pub(crate) postgres: Postgres,
    /// Gone with the world, behind everything that is in it.
    _network: Network,
}

/// Who owns what, and how often that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owning {
    /// Changes of owner since the beginning, over all channels.
    pub(crate) n_changes: i64,
    /// The living incarnations.
    pub(crate) living: Vec<String>,
}

impl World {
    /// Starts everything and waits until every channel is owned and joined.
    pub(crate) async fn new(plan: &Plan) -> Result<Self> {
        let network = Network::new(N_NODES)?;
        let postgres = Postgres::new()?;
        let config = FakeConfig {
            address: Place::Twitch.address(),
            joins_per_10s: 1_000_000,
            auths_per_10s: 1_000_000,
            ..FakeConfig::default().without_limits()
        };
        let fake = Arc::new(FakeTwitch::start(config).await?);
        let mut setting = Setting::new(&plan.bot, plan.is_fence_off, &plan.keep)?;
        setting.channels = (0..plan.n_channels).map(|index| format!("channel_{index:05}")).collect();
        (setting.irc_url, setting.http_url) = (fake.irc_url(), fake.http_url());
        setting.joins_per_10s = JOINS_PER_10S;
        let (ledger, caller) = (Arc::new(Ledger::default()), Caller::new()?);
        let load = Load::start(&fake, &ledger, &caller, &setting.channels, N_NODES);
        let nodes = (0..N_NODES).map(|number| Node::new(number, &plan.keep)).collect::<Result<Vec<_>>>()?;
        let mut world = Self { load, nodes, setting, caller, ledger, fake, postgres, _network: network };
        for number in 0..N_NODES {
            world.nodes[number].start(&world.setting)?;
        }
        for number in 0..N_NODES {
            world.caller.wait_ready(number).await?;
        }
        world.watch_writers().await?;
        world.settled().await?;
        Ok(world)
    }

    /// Has the database note every entry whose writer does not own the channel when it commits, whatever the program
    /// believes: a session's name carries its incarnation.
    async fn watch_writers(&self) -> Result<()> {
        let statements = "CREATE TABLE chaos_strays (op_id TEXT, writer TEXT, at TIMESTAMPTZ DEFAULT clock_timestamp());
            CREATE FUNCTION chaos_watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.op_id LIKE 'channel:%' AND NOT EXISTS (
                    SELECT FROM owners o JOIN nodes n ON n.incarnation = o.incarnation AND n.state <> 'dead'
                    WHERE o.key = split_part(NEW.op_id, '|', 1) AND NOT o.released
                    AND 'waddlebot/' || o.incarnation = current_setting('application_name'))
                THEN INSERT INTO chaos_strays (op_id, writer) VALUES (NEW.op_id, current_setting('application_name'));
                END IF; RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER chaos_watch AFTER INSERT ON ops DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION chaos_watch();";
        self.run(statements).await
    }

    /// Runs statements without parameters.
    pub(crate) async fn run(&self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements).execute(&self.postgres.pool).await.map(drop).map_err(Error::other)
    }

    async fn number(&self, statement: &'static str, parameter: &str) -> Result<i64> {
        let row: (i64,) = sqlx::query_as(statement)
            .bind(parameter)
            .fetch_one(&self.postgres.pool)
            .await
            .map_err(Error::other)?;
        Ok(row.0)
    }

    /// Waits until three nodes own every channel, and each is joined once.
    pub(crate) async fn settled(&self) -> Result<()> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let n_joined: usize = self.fake.channels_per_connection().values().sum();
            let n_channels = self.setting.channels.len();
            let is_joined = n_joined == n_channels && self.fake.n_joined() == n_channels;
            let n_owned = if is_joined { self.n_owned().await.unwrap_or(0) } else { 0 };
            let is_owned = usize::try_from(n_owned).is_ok_and(|n_owned| n_owned == n_channels);
            if is_owned && self.living().await?.len() == self.nodes.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let logs: Vec<String> = self.nodes.iter().map(Node::log_tail).collect();
                let state = format!("{n_joined} joins, {n_owned} owned of {n_channels}");
                return Err(Error::other(format!(
                    "the cluster does not settle: {state}\n{}",
                    logs.join("\n---\n")
                )));
            }
            tokio::time::sleep(LOOK_EACH).await;
        }
    }

    /// Waits until every node has about its share and nothing moves any more.
    pub(crate) async fn balanced(&self) -> Result<()> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let statement =
            "SELECT count(*) FROM owners WHERE incarnation = $1 AND key LIKE 'channel:%' AND NOT released";
        let fair = self.setting.channels.len() / N_NODES;
        let mut before = None;
        loop {
            self.settled().await?;
            let n_changes = self.owning().await?.n_changes;
            let mut least = fair;
            for incarnation in self.living().await?.values() {
                least = least.min(usize::try_from(self.number(statement, incarnation).await?).unwrap_or(0));
            }
            if least * 3 > fair * 2 && before == Some(n_changes) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::other(format!("a node has {least} channels and should have {fair}")));
            }
            before = Some(n_changes);
            tokio::time::sleep(STILL_FOR).await;
        }
    }

    /// Channels owned by living nodes.
    async fn n_owned(&self) -> Result<i64> {
        let statement = "SELECT count(*) FROM owners o JOIN nodes n ON n.incarnation = o.incarnation \
             WHERE o.key LIKE 'channel:%' AND NOT o.released AND n.state <> $1";
        self.number(statement, "dead").await
    }

    async fn living(&self) -> Result<BTreeMap<String, String>> {
        let statement = "SELECT node_id, incarnation FROM nodes WHERE state = 'active'";
        let rows: Vec<(String, String)> =
            sqlx::query_as(statement).fetch_all(&self.postgres.pool).await.map_err(Error::other)?;
        Ok(rows.into_iter().collect())
    }

    /// The living incarnation of a node; `None`: it has none.
    pub(crate) async fn incarnation(&self, number: usize) -> Result<Option<String>> {
        Ok(self.living().await?.remove(&self.nodes[number].id()))
    }

    pub(crate) async fn owning(&self) -> Result<Owning> {
        let statement = "SELECT CAST(COALESCE(sum(epoch), 0) AS BIGINT) FROM owners WHERE key LIKE $1";
        let n_changes = self.number(statement, "channel:%").await?;
        Ok(Owning { n_changes, living: self.living().await?.into_values().collect() })
    }

    /// Logins of the channels that a process owns.
    pub(crate) async fn channels_of(&self, incarnation: &str) -> Result<Vec<String>> {
        let statement = "SELECT c.login FROM owners o JOIN channels c ON o.key = 'channel:' || c.id \
             WHERE o.incarnation = $1 AND NOT o.released ORDER BY md5(c.id)";
        let rows: Vec<(String,)> = sqlx::query_as(statement)
            .bind(incarnation)
            .fetch_all(&self.postgres.pool)
            .await
            .map_err(Error::other)?;
        Ok(rows.into_iter().map(|(login,)| login).collect())
    }

    /// Ids of up to `n` channels that a process owns.
    pub(crate) async fn channel_ids_of(&self, incarnation: &str, n: usize) -> Result<Vec<String>> {
        let statement = "SELECT substr(key, 9) FROM owners WHERE incarnation = $1 AND key LIKE 'channel:%' \
             AND NOT released LIMIT $2";
        let n = i64::try_from(n).map_err(Error::other)?;
        let rows: Vec<(String,)> = sqlx::query_as(statement)
            .bind(incarnation)
            .bind(n)
            .fetch_all(&self.postgres.pool)
            .await
            .map_err(Error::other)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The node with the most channels, and its incarnation.
    pub(crate) async fn heaviest(&self) -> Result<(usize, String)> {
        let statement = "SELECT n.node_id, n.incarnation FROM nodes n JOIN owners o ON o.incarnation = n.incarnation \
             WHERE n.state = 'active' GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1";
        let (id, incarnation): (String, String) =
            sqlx::query_as(statement).fetch_one(&self.postgres.pool).await.map_err(Error::other)?;
        let number = self.nodes.iter().position(|node| node.id() == id);
        Ok((number.ok_or_else(|| Error::other("an unknown node"))?, incarnation))
    }

    /// Waits until a process owns no channel any more. `None`: not in time.
    pub(crate) async fn taken_over(
        &self,
        incarnation: &str,
        since: Instant,
        within: Duration,
    ) -> Option<Duration> {
        let statement = "SELECT count(*) FROM owners WHERE incarnation = $1 AND key LIKE 'channel:%'";
        while since.elapsed() < within {
            if matches!(self.number(statement, incarnation).await, Ok(0)) {
                return Some(since.elapsed());
            }
            tokio::time::sleep(LOOK_EACH).await;
        }
        None
    }

    /// Open connections of a node to the platform.
    pub(crate) fn connections_of(&self, number: usize) -> HashSet<u64> {
        let address = IpAddr::from(Place::Node(number).address());
        let log = self.fake.connection_log();
        log.iter()
            .filter(|entry| entry.peer.ip() == address && entry.closed_at.is_none())
            .map(|entry| entry.id)
            .collect()
    }

    /// Waits until connections other than these have joined every channel. `None`: not in time.
    pub(crate) async fn heard_again(
        &self,
        without: &HashSet<u64>,
        since: Instant,
        within: Duration,
    ) -> Option<Duration> {
        let n_channels = self.setting.channels.len();
        let is_heard = |fake: &FakeTwitch| {
            let joined = fake.channels_per_connection();
            joined.iter().filter(|(id, _)| !without.contains(id)).map(|(_, n)| n).sum::<usize>() >= n_channels
        };
        self.fake.wait_until(is_heard, since + within).await.then(|| since.elapsed())
    }

    /// Lets the load rest, compares the books, and lets it go on.
    pub(crate) async fn judge(&self) -> Result<Judgement> {
        self.load.rest().await?;
        let judgement = self.ledger.judge(&self.postgres.pool).await?;
        self.load.go_on();
        Ok(judgement)
    }
}
