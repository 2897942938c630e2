//! "Answer when there is news."

use super::Message;
use super::parts::{read_origins, write_origins};
use crate::clock::VersionVector;
use crate::encode::Malformed;
use crate::ident::{Digest, Origin};
use crate::limits;
use crate::wire::fields::{FieldReader, FieldWriter};

/// "Answer as soon as you have what I lack, or after that time."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What the asking node's row states reflect.
    pub vector: VersionVector,
    /// Hash of its roster.
    pub roster: Digest,
    /// Milliseconds to wait at most.
    pub max_ms: u64,
    /// Origins whose changes are no news: what came of them is held back there.
    pub except: Vec<Origin>,
}

/// The answer to a waiting node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Why it comes now.
    pub reason: WakeReason,
}

/// Why a waiting node is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeReason {
    /// There is something to pull.
    Changes,
    /// The roster moved.
    Roster,
    /// The time is over.
    Timeout,
    /// The answering node shuts down.
    Closing,
    /// A reason of a later version: exchange and see.
    Other(u64),
}

impl Message for Wait {
    const KIND: u64 = 13;
    const NAME: &'static str = "wait";

    fn write(&self, out: &mut FieldWriter) {
        out.vector(1, &self.vector);
        out.bytes(2, &self.roster.0);
        out.number(3, self.max_ms);
        write_origins(out, 4, &self.except);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Wait, Malformed> {
        Ok(Wait {
            vector: input.vector(1)?,
            roster: Digest(input.array(2)?),
            max_ms: input.number(3, limits::NUMBER_MAX)?,
            except: read_origins(input, 4)?,
        })
    }
}

impl Message for Wake {
    const KIND: u64 = 14;
    const NAME: &'static str = "wake";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, self.reason.number());
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Wake, Malformed> {
        Ok(Wake { reason: WakeReason::of_number(input.number(1, limits::NUMBER_MAX)?) })
    }
}

impl WakeReason {
    fn number(self) -> u64 {
        match self {
            WakeReason::Changes => 1,
            WakeReason::Roster => 2,
            WakeReason::Timeout => 3,
            WakeReason::Closing => 4,
            WakeReason::Other(number) => number,
        }
    }

    fn of_number(number: u64) -> WakeReason {
        match number {
            1 => WakeReason::Changes,
            2 => WakeReason::Roster,
            3 => WakeReason::Timeout,
            4 => WakeReason::Closing,
            other => WakeReason::Other(other),
        }
    }
}
