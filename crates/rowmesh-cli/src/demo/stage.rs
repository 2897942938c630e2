//! What the demo shows while it runs: bars that move on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rowmesh::control::api::{Peer, Status};

use super::crew::Tally;
use crate::failure::Outcome;
use crate::render::shorten;
use crate::talk::Talk;
use crate::units::show_count;

/// The screen.
pub struct Stage {
    talk: Talk,
    begun: Instant,
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
}

impl Stage {
    /// One bar per node, where bars can move.
    pub fn new(talk: Talk, headless: bool, names: &[&str]) -> Stage {
        let bars = (talk.live && !headless && !talk.json).then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let bar = |name: &&str| {
                let bar = all.add(ProgressBar::new(0).with_style(style()).with_prefix((*name).to_owned()));
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            };
            let bars = names.iter().map(bar).collect();
            (all, bars)
        });
        Stage { talk, begun: Instant::now(), bars }
    }

    /// A line of the story, with its time; what begins with a space belongs to the line before.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn say(&self, text: &str) -> Outcome<()> {
        let clock = self.talk.out.dim(&format!("{:5.1} s  ", self.begun.elapsed().as_secs_f64()));
        let is_story = text.starts_with(|c: char| !c.is_whitespace());
        let lines = if is_story { format!("{clock}{text}\n") } else { format!("{text}\n") };
        if self.talk.json {
            self.talk.say(text);
            return Ok(());
        }
        match &self.bars {
            Some((all, _)) => all.suspend(|| self.talk.data(&lines)),
            None => self.talk.data(&lines),
        }
    }

    /// What one node does now.
    pub fn note(&self, at: usize, text: &str) {
        if let Some((_, bars)) = &self.bars {
            bars[at].set_message(text.to_owned());
        }
    }

    /// Moves the bars: how much of what it knows of a node has, and what waits on each way out.
    pub fn show(&self, statuses: &[Status], tallies: &[Tally]) {
        let Some((_, bars)) = &self.bars else { return };
        for (at, (bar, status)) in bars.iter().zip(statuses).enumerate() {
            let lacking: u64 = status.peers.iter().map(|peer| peer.they_lack).sum();
            let total = status.changesets * status.peers.len().max(1) as u64;
            bar.set_length(total.max(1));
            bar.set_position(total.saturating_sub(lacking));
            let last = tallies.get(at).map(|tally| shorten(&tally.last, 40)).unwrap_or_default();
            bar.set_message(format!("{}   {last}", ways(&status.peers)));
        }
    }

    /// The same as a line, where bars cannot move.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn tell(&self, statuses: &[Status], tallies: &[Tally]) -> Outcome<()> {
        if self.bars.is_some() {
            return Ok(());
        }
        let node = |(status, tally): (&Status, &Tally)| {
            format!(
                "  {:<7} {:>5} actions, {:>5} changesets   {}",
                status.name,
                tally.actions,
                status.changesets,
                ways(&status.peers)
            )
        };
        let lines: Vec<String> = statuses.iter().zip(tallies).map(node).collect();
        self.say(&lines.join("\n"))
    }

    /// Takes the bars away.
    pub fn end(&self) {
        if let Some((_, bars)) = &self.bars {
            bars.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

/// `→ office 0  ╌ depot 312`: what each peer lacks of what this node has.
fn ways(peers: &[Peer]) -> String {
    let way = |peer: &Peer| {
        let arrow = if peer.state == "live" { "→" } else { "╌" };
        format!("{arrow} {} {:<5}", peer.name, show_count(peer.they_lack))
    };
    peers.iter().map(way).collect::<Vec<_>>().join(" ")
}

fn style() -> ProgressStyle {
    let template = "  {prefix:7} {bar:12} {wide_msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_says_what_waits_on_it() {
        let peer = |name: &str, state: &str, they_lack| Peer {
            name: name.into(),
            state: state.into(),
            they_lack,
            ..Peer::default()
        };
        let shown = ways(&[peer("office", "live", 0), peer("depot", "paused", 1_312)]);
        assert_eq!(shown, "→ office 0     ╌ depot 1 312");
    }
}
