//! The application's users: one thread per node that does one business action after another, until it is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use business::{Action, Desk, Workload};

use super::NAMES;
use super::broken;
use super::daemon::Daemon;
use crate::failure::Outcome;

/// Everybody who works.
pub struct Crew {
    stop: Arc<AtomicBool>,
    tallies: Vec<Arc<Mutex<Tally>>>,
    threads: Vec<JoinHandle<Result<(), business::Error>>>,
}

/// What was done on one node.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Actions so far.
    pub actions: u64,
    /// The last one, in words.
    pub last: String,
}

impl Crew {
    /// Begins to work on all nodes.
    ///
    /// # Errors
    /// If the application cannot open a database.
    pub fn start(daemons: &[Daemon]) -> Outcome<Crew> {
        let desks = daemons.iter().map(Daemon::desk).collect::<Outcome<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let tallies: Vec<Arc<Mutex<Tally>>> = desks.iter().map(|_| Arc::default()).collect();
        let hire = |(at, desk): (usize, Desk)| {
            let (stop, tally) = (stop.clone(), tallies[at].clone());
            std::thread::spawn(move || work(&desk, NAMES[at], &stop, &tally))
        };
        let threads = desks.into_iter().enumerate().map(hire).collect();
        Ok(Crew { stop, tallies, threads })
    }

    /// What was done so far, node by node.
    pub fn tallies(&self) -> Vec<Tally> {
        self.tallies.iter().map(|tally| tally.lock().map(|tally| tally.clone()).unwrap_or_default()).collect()
    }

    /// Whether all still work.
    ///
    /// # Errors
    /// If one had to stop: told by [`Crew::stop`] in full.
    pub fn check(&self) -> Outcome<()> {
        match self.threads.iter().position(JoinHandle::is_finished) {
            Some(at) => Err(crate::failure::failure("RM5003", format!("the application on {} had to stop", NAMES[at]))),
            None => Ok(()),
        }
    }

    /// Ends the work and says how many actions were done.
    ///
    /// # Errors
    /// With what the application was refused on any node.
    pub fn stop(mut self) -> Outcome<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for (at, thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            if let Ok(Err(error)) = thread.join() {
                return Err(broken(&format!("let the application work on {}", NAMES[at]), &error));
            }
        }
        Ok(self.tallies().iter().map(|tally| tally.actions).sum())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn work(desk: &Desk, name: &str, stop: &AtomicBool, tally: &Mutex<Tally>) -> Result<(), business::Error> {
    let mut workload = Workload::new(1, name);
    while !stop.load(Ordering::Relaxed) {
        let action = desk.work(&mut workload)?;
        if let Ok(tally) = tally.lock().as_mut() {
            tally.actions += u64::from(action != Action::Idle);
            tally.last = action.to_string();
        }
        std::thread::sleep(REST);
    }
    Ok(())
}

/// Between two actions: about as many as a busy branch has.
const REST: Duration = Duration::from_millis(25);
