//! Where the node gets the time from: the machine, or a test. Core is told the time; nothing but this file asks for it.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rowmesh_core::clock::WallTime;

/// A clock. It may be wrong by years and may jump.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> WallTime + Send + Sync>);

impl Clock {
    /// The machine's.
    pub fn machine() -> Clock {
        Clock::of(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        })
    }

    /// One that says what it is told to.
    pub fn of(now: impl Fn() -> WallTime + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    /// What it says.
    pub fn now(&self) -> WallTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::machine()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}
