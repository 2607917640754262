//! What each platform last said of itself, for the hub and the operator.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::Platform;
use serde::Serialize;

/// A platform's state at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlatformReport {
    /// The account that is logged in; `None` for anonymous reading or before the login.
    pub login: Option<String>,
    pub connections: usize,
    pub channels_joined: usize,
    pub channels_pending: usize,
    /// The newest trouble in one sentence that says what to do; `None` when all is well.
    pub trouble: Option<String>,
}

/// One report a platform, replaced as a whole by its owner.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<Platform, PlatformReport>>);

impl Board {
    pub fn set(&self, platform: Platform, report: PlatformReport) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(platform, report);
    }

    pub fn all(&self) -> BTreeMap<Platform, PlatformReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
