//! How many breakers of each module are in which state, for the two metrics that show it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::BreakerState;

use super::metric_names::SERVICE;

const STATES: [&str; 4] = ["CLOSED", "OPEN", "HALF_OPEN", "DISABLED"];

/// Counts of all breakers of the node by circuit and state. Touched only when a breaker changes.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<BTreeMap<&'static str, [u32; 4]>>);

/// One breaker's place in the counts; leaves them when it is dropped.
#[derive(Debug)]
pub struct Shown {
    breakers: Arc<Breakers>,
    circuit: &'static str,
    gauge: usize,
}

impl Breakers {
    /// Counts a new breaker.
    pub fn show(self: &Arc<Self>, circuit: &'static str, state: BreakerState) -> Shown {
        let gauge = usize::from(state.gauge());
        self.change(circuit, None, Some(gauge));
        Shown { breakers: Arc::clone(self), circuit, gauge }
    }

    fn change(&self, circuit: &'static str, from: Option<usize>, to: Option<usize>) {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = circuits.entry(circuit).or_default();
        if let Some(from) = from {
            counts[from] = counts[from].saturating_sub(1);
        }
        if let Some(to) = to {
            counts[to] += 1;
        }
        for (state, n) in STATES.iter().zip(*counts) {
            metrics::gauge!("waddlebot_circuit_breakers", "circuit_name" => circuit, "state" => *state)
                .set(f64::from(n));
        }
        metrics::gauge!("waddlebot_circuit_breaker_state", "service" => SERVICE, "circuit_name" => circuit)
            .set(f64::from(worst(*counts)));
    }
}

/// The value of the worst instance: OPEN weighs more than `HALF_OPEN`, though its number is smaller.
fn worst(counts: [u32; 4]) -> u8 {
    let order = [3_u8, 1, 2, 0];
    order.into_iter().find(|&state| counts[usize::from(state)] > 0).unwrap_or_default()
}

impl Shown {
    /// The breaker is in that state now.
    pub fn set(&mut self, state: BreakerState) {
        let gauge = usize::from(state.gauge());
        if gauge != self.gauge {
            self.breakers.change(self.circuit, Some(self.gauge), Some(gauge));
            self.gauge = gauge;
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.breakers.change(self.circuit, Some(self.gauge), None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_worst_instance_is_shown_and_leaves_with_its_breaker() {
        let breakers = Arc::new(Breakers::default());
        let _well = breakers.show("quotes", BreakerState::Closed);
        let mut sick = breakers.show("quotes", BreakerState::Closed);
        sick.set(BreakerState::Open { until: Instant::now() });
        let counts = |breakers: &Breakers| breakers.0.lock().unwrap()["quotes"];
        assert_eq!((counts(&breakers), worst(counts(&breakers))), ([1, 1, 0, 0], 1));
        sick.set(BreakerState::HalfOpen);
        assert_eq!(worst(counts(&breakers)), 2);
        drop(sick);
        assert_eq!(counts(&breakers), [1, 0, 0, 0]);
    }
}
