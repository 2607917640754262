//! One breaker for each host that is called, and the metrics that show them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::{Admission, Breaker, BreakerConfig, BreakerState, CallResult};

use super::SERVICE;
use crate::messages::streamers::HostFigures;

/// Names of the states in the order of [`BreakerState::gauge`]; that of an external host is never disabled.
const STATES: [&str; 3] = ["CLOSED", "OPEN", "HALF_OPEN"];

/// The breakers of one client, by host and port.
pub(super) struct Breakers {
    /// Most hosts that are remembered; beyond that the one that is least missed goes.
    hosts_max: usize,
    /// The name of all its hosts in metrics. `None`: each has its own, since the configuration names them.
    shown_as: Option<&'static str>,
    hosts: Mutex<HashMap<Arc<str>, Host>>,
}

struct Host {
    breaker: Breaker,
    n_successes: u64,
    n_failures: u64,
    n_rejections: u64,
    /// `None`: the state never changed.
    changed_at: Option<Instant>,
    shown_as: Arc<str>,
    used_at: Instant,
}

/// A call that may be made. What was not told of its end counts as never made.
pub(super) struct Permit {
    breakers: Arc<Breakers>,
    authority: Arc<str>,
    is_probe: bool,
    is_told: bool,
}

/// A host is not called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// `None`: another call is just trying.
    pub retry_after: Option<Duration>,
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").field("hosts", &self.lock().len()).finish_non_exhaustive()
    }
}

/// The clock that the limits of calls run by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Breakers {
    pub fn new(hosts_max: usize, shown_as: Option<&'static str>) -> Self {
        Self { hosts_max, shown_as, hosts: Mutex::default() }
    }

    /// What the metrics call this host.
    pub fn name_of(&self, host: &str) -> Arc<str> {
        self.shown_as.unwrap_or(host).into()
    }

    /// Asks whether `authority`, which is `host` with its port, may be called now. It answers at once.
    pub fn admit(self: &Arc<Self>, authority: &str, host: &str) -> Result<Permit, Rejected> {
        let now = now();
        let mut hosts = self.lock();
        let key = match hosts.get_key_value(authority) {
            Some((key, _)) => Arc::clone(key),
            None => self.remember(&mut hosts, authority, host, now),
        };
        let entry = hosts.get_mut(&key).expect("it was there or just put in");
        entry.used_at = now;
        let before = entry.breaker.state();
        let admission = entry.breaker.admit(now);
        let (after, shown_as) = (entry.breaker.state(), Arc::clone(&entry.shown_as));
        if before != after {
            entry.changed_at = Some(now);
        }
        if matches!(admission, Admission::Rejected { .. }) {
            entry.n_rejections += 1;
        }
        if before != after {
            changed(&hosts, &shown_as, after);
        }
        drop(hosts);
        match admission {
            Admission::Rejected { retry_at } => {
                Err(Rejected { retry_after: retry_at.map(|at| at.saturating_duration_since(now)) })
            }
            Admission::Call | Admission::Probe => Ok(Permit {
                breakers: Arc::clone(self),
                authority: key,
                is_probe: admission == Admission::Probe,
                is_told: false,
            }),
        }
    }

    fn remember(
        &self,
        hosts: &mut HashMap<Arc<str>, Host>,
        authority: &str,
        host: &str,
        now: Instant,
    ) -> Arc<str> {
        if hosts.len() >= self.hosts_max {
            let is_well = |host: &Host| matches!(host.breaker.state(), BreakerState::Closed);
            let least = hosts.iter().min_by_key(|(_, host)| (!is_well(host), host.used_at));
            let least = least.map(|(authority, _)| Arc::clone(authority));
            if let Some(gone) = least.and_then(|least| hosts.remove(&least)) {
                show(hosts, &gone.shown_as);
            }
        }
        let authority: Arc<str> = authority.into();
        let shown_as = self.name_of(host);
        let host = Host {
            breaker: Breaker::new(BreakerConfig::host()),
            n_successes: 0,
            n_failures: 0,
            n_rejections: 0,
            changed_at: None,
            shown_as: Arc::clone(&shown_as),
            used_at: now,
        };
        hosts.insert(Arc::clone(&authority), host);
        show(hosts, &shown_as);
        authority
    }

    /// How the calls of `authority` went, at `wall_now`. `None`: it is not remembered.
    pub fn figures(&self, authority: &str, wall_now: DateTime<Utc>) -> Option<HostFigures> {
        let hosts = self.lock();
        let host = hosts.get(authority)?;
        let at = |instant: Instant| wall_now - now().saturating_duration_since(instant);
        Some(HostFigures {
            state: host.breaker.state().as_str(),
            n_failures_in_row: host.breaker.failures_in_row(),
            n_probes_succeeded: host.breaker.probes_succeeded(),
            n_successes: host.n_successes,
            n_failures: host.n_failures,
            n_rejections: host.n_rejections,
            changed_at: host.changed_at.map(at),
            config: BreakerConfig::host(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Tells how the call ended.
    pub fn end(mut self, result: CallResult) {
        self.record(result);
    }

    /// The host wants to be left alone for a while: it answered, but nobody asks it before that.
    pub fn pause(mut self, duration: Duration) {
        self.is_told = true;
        let mut hosts = self.breakers.lock();
        let Some(host) = hosts.get_mut(&self.authority) else { return };
        host.n_successes += 1;
        let (after, shown_as) = (host.breaker.open_for(duration, now()), Arc::clone(&host.shown_as));
        if let Some(after) = after {
            host.changed_at = Some(now());
            changed(&hosts, &shown_as, after);
        }
    }

    fn record(&mut self, result: CallResult) {
        self.is_told = true;
        let mut hosts = self.breakers.lock();
        let Some(host) = hosts.get_mut(&self.authority) else { return };
        match result {
            CallResult::Success { .. } => host.n_successes += 1,
            CallResult::Failure => host.n_failures += 1,
            CallResult::Cancelled => {}
        }
        // What began before the breaker opened says nothing about the probe that is under way now.
        if host.breaker.state() == BreakerState::HalfOpen && !self.is_probe {
            return;
        }
        // No jitter: the time of a host in OPEN is fixed.
        let (after, shown_as) = (host.breaker.record(result, now(), 0.5), Arc::clone(&host.shown_as));
        if let Some(after) = after {
            host.changed_at = Some(now());
            changed(&hosts, &shown_as, after);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_told {
            self.record(CallResult::Cancelled);
        }
    }
}

fn changed(hosts: &HashMap<Arc<str>, Host>, shown_as: &Arc<str>, state: BreakerState) {
    let circuit = shown_as.to_string();
    metrics::counter!("waddlebot_circuit_breaker_transitions_total",
        "circuit_name" => circuit.clone(), "state" => state.as_str())
    .increment(1);
    if matches!(state, BreakerState::Open { .. }) {
        metrics::counter!("waddlebot_circuit_breaker_failures_total",
            "service" => SERVICE, "circuit_name" => circuit)
        .increment(1);
    }
    tracing::warn!(host = %shown_as, breaker = state.as_str(), "the breaker of a host changed");
    show(hosts, shown_as);
}

/// Shows all breakers of that name: how many are in which state, and the worst of them.
fn show(hosts: &HashMap<Arc<str>, Host>, shown_as: &Arc<str>) {
    let mut counts = [0_u32; STATES.len()];
    for host in hosts.values().filter(|host| host.shown_as == *shown_as) {
        if let Some(count) = counts.get_mut(usize::from(host.breaker.state().gauge())) {
            *count += 1;
        }
    }
    for (state, n) in STATES.iter().zip(counts) {
        metrics::gauge!("waddlebot_circuit_breakers", "circuit_name" => shown_as.to_string(), "state" => *state)
            .set(f64::from(n));
    }
    // OPEN weighs more than HALF_OPEN, though its number is smaller.
    let worst = [1_u8, 2, 0].into_iter().find(|&state| counts[usize::from(state)] > 0).unwrap_or_default();
    metrics::gauge!("waddlebot_circuit_breaker_state",
        "service" => SERVICE, "circuit_name" => shown_as.to_string())
    .set(f64::from(worst));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hosts_that_are_remembered_are_bounded_and_a_sick_one_stays() {
        let breakers = Arc::new(Breakers::new(3, Some("user_url")));
        for _ in 0..5 {
            breakers.admit("sick:80", "sick").unwrap_or_else(|_| panic!("closed")).end(CallResult::Failure);
        }
        for n in 0..50 {
            let authority = format!("host{n}:80");
            breakers
                .admit(&authority, "host")
                .unwrap_or_else(|_| panic!("closed"))
                .end(CallResult::Success { slow: false });
        }
        assert_eq!(breakers.lock().len(), 3);
        assert!(breakers.admit("sick:80", "sick").is_err());
        let figures = breakers.figures("sick:80", DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((figures.state, figures.n_failures, figures.n_rejections), ("OPEN", 5, 1));
        assert!(figures.changed_at <= Some(DateTime::UNIX_EPOCH), "{figures:?}");
        assert_eq!(breakers.figures("host0:80", DateTime::UNIX_EPOCH), None, "it was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_was_given_up_makes_room_for_the_next() {
        let breakers = Arc::new(Breakers::new(3, None));
        let late = breakers.admit("a:1", "a").unwrap_or_else(|_| panic!("closed"));
        for _ in 0..5 {
            breakers.admit("a:1", "a").unwrap_or_else(|_| panic!("closed")).end(CallResult::Failure);
        }
        let rejected = breakers.admit("a:1", "a").err();
        assert_eq!(rejected, Some(Rejected { retry_after: Some(Duration::from_mins(1)) }));
        tokio::time::advance(Duration::from_mins(1)).await;
        let probe = breakers.admit("a:1", "a").unwrap_or_else(|_| panic!("a probe"));
        late.end(CallResult::Failure);
        assert!(breakers.admit("a:1", "a").is_err(), "one probe at a time");
        drop(probe);
        assert!(breakers.admit("a:1", "a").is_ok());
    }
}
